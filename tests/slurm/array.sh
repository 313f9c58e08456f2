#!/usr/bin/env bash
# Jobs by their names: a task of an array goes on alone, also the one that has the array's own number; a job that
# Slurm does not queue again; scripts from elsewhere; the processors of ranks; more runs than an array may have.
. "$(dirname "$0")/common"
make_run $work
unset OMP_NUM_THREADS

# Two tasks; the second has the array's number as its job, and is stopped when the first is done.
printf 'short\ttrain\t%s\tsteps=1\tout=%s\nlong\ttrain\t%s\tsteps=40\tout=%s\n' \
    $work/config.yaml $work/short $work/config.yaml $work/long >$work/runs
array=$(sbatch --parsable --array=1-2 -o $work/array-%a.log slurm/sweep.sbatch $work/runs)
restarts() { scontrol -o show job "$array"_"$1" | sed -n 's/.* Restarts=\([0-9]*\).*/\1/p'; }
until_true 30 job_is "$array"_1 COMPLETED || fail "$(cat $work/array-1.log)"
until_true 30 grep -q "step 3 of" $work/array-2.log || fail "$(cat $work/array-2.log)"
[ "$(scontrol -o show job "$array"_2 | sed -n 's/^JobId=\([0-9]*\).*/\1/p')" = "$array" ] || fail "not the array's number"
scancel --signal=USR1 "$array"_2

# Meanwhile, from elsewhere and without FOVEA_HOME: whole nodes, and two processors by mpirun.
mkdir $work/elsewhere
cores() { # NAME OPTION OF sbatch...: of every rank, one or several, and its threads
    FOVEA_COMMAND=doctor submit "$1" -D $work/elsewhere "${@:2}" "$root/slurm/train.sbatch" --ranks
    ends "$job" COMPLETED 60 $work/"$1".log
    awk '$1 ~ /^[0-9]+$/ { printf "%s %s %s, ", $1, $3 ~ /[-,]/ ? "several" : "one", $4 }' $work/"$1".log
}
is() { # EXPECTED NAME OPTION OF sbatch...
    local got
    got=$(cores "${@:2}")
    [ "$got" = "$1" ] || fail "cores and threads of ${*:2}: $got, not $1 ($(cat $work/"$2".log))"
}
is "0 several 2, 1 several 2, " whole -N2 --exclusive
is "0 several 2, " two -N1 --ntasks=1 --exclusive
echo "FOVEA_LAUNCHER=mpirun" >$work/site.env
export FOVEA_SITE=$work/site.env
is "0 several 2, " mpirun -n1 -c2
is "0 several 2, 1 several 2, " mpiruns -N2 --exclusive
unset FOVEA_SITE

ends "$array"_2 COMPLETED 60 $work/array-2.log
[ "$(restarts 1) $(restarts 2)" = "0 1" ] || fail "started again: $(restarts 1) times the first, $(restarts 2) the second"
grep -q "the job goes back into the queue, as ${array}_2" $work/array-2.log || fail "$(cat $work/array-2.log)"
[ -e $work/long/model/config.json ] || fail "the second task did not go on"

# Slurm does not take it back.
submit refused --no-requeue slurm/train.sbatch $work/config.yaml steps=40 out=$work/refused
until_true 30 grep -q "step 3 of" $work/refused.log || fail "$(cat $work/refused.log)"
scancel --signal=USR1 "$job"
ends "$job" FAILED 30 $work/refused.log
scontrol -o show job "$job" | grep -q " ExitCode=75:0 " || fail "$(scontrol -o show job "$job")"
grep -q "Slurm does not queue job $job again (--no-requeue" $work/refused.log || fail "$(cat $work/refused.log)"
echo "array: well"
