#!/usr/bin/env bash
# What a batch script does with the end of a run, with made-up Slurm commands: which job goes back into the queue, by
# which name, how often, and what is said where none does; the processors of a rank; where the project is.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"
mkdir "$folder/bin"
cd "$folder"
unset OMP_NUM_THREADS ${!SLURM_@} ${!SQUEUE_@} FOVEA_HOME

printf 'model: m\nout: %s/run\nprompts: p\nsteps: 1\ndata: {train: t}\n' "$folder" >config.yaml
made() { # NAME: a command of Slurm, from standard input
    { echo "#!/usr/bin/env bash" && cat; } >"bin/$1"
    chmod +x "bin/$1"
}
# A squeue that obeys SQUEUE_STATES, and says of a whole array what its tasks say.
made squeue <<'END'
[ -z "${SQUEUE_STATES-}" ] || exit 0
case " $* " in *" -j 12 "*) printf 'RUNNING\nCANCELLED\n' ;; *) cat "$FAKE/state" ;; esac
END
made scontrol <<'END'
case $1 in
requeue) echo "$2" >>"$FAKE/requeued" && exit "$(cat "$FAKE/refusal")" ;;
*) cat "$FAKE/record" ;;
esac
END
# A launcher: the rank saves as many checkpoints, or answers, as it is told, and ends as it is told.
made ranks <<'END'
env >"$FAKE/environment"
echo "$@" >"$FAKE/arguments"
for ((i = 0; i < $(cat "$FAKE/saves"); i++)); do
    [ "$2" != eval ] || { mkdir -p "$FAKE/results/pack/shard-1" && echo >"$FAKE/results/pack/shard-1/$(cat "$FAKE/kept")" && continue; }
    mkdir -p "$FAKE/run/checkpoints"
    n=$(ls "$FAKE/run/checkpoints" | wc -l)
    mkdir "$FAKE/run/checkpoints/step_$(printf %06d $n)"
done
exit "$(cat "$FAKE/status")"
END
export FAKE=$folder PATH=$folder/bin:$PATH FOVEA_LAUNCHER=ranks FOVEA_HOME=$root FOVEA_SITE=$folder/site.env
state() { # NAME VALUE...
    while [ $# -gt 0 ]; do
        echo "$2" >"$1"
        shift 2
    done
}
state state RUNNING refusal 0 saves 0 record "" kept begun.h5

batch=(train.sbatch config.yaml)
ends() { # STATUS EXIT REQUEUED TEXT [VARIABLE=VALUE...]: the rank's, the job's; the name in the queue; what is said
    local got=0
    echo "$1" >status
    : >requeued
    env SLURM_JOB_ID=12 SLURM_SUBMIT_DIR="$folder" SLURM_JOB_CPUS_PER_NODE=1 "${@:5}" \
        bash "$root/slurm/${batch[0]}" "${batch[@]:1}" >said 2>&1 || got=$?
    [ "$got" = "$2" ] || fail "a rank that ended with $1: the job with $got, not $2: $(cat said)"
    [ "$(cat requeued)" = "$3" ] || fail "a rank that ended with $1: queued again \"$(cat requeued)\", not \"$3\": $(cat said)"
    [ -z "$4" ] || grep -qF -- "$4" said || fail "a rank that ended with $1: no \"$4\" in: $(cat said)"
}
again="goes back into the queue"
task=(SLURM_ARRAY_JOB_ID=12 SLURM_ARRAY_TASK_ID=3)

# A task goes by its own name, also the one whose job is the array's; and what is set for squeue is nothing to us.
ends 75 75 12_3 "$again, as 12_3" "${task[@]}" SQUEUE_STATES=PENDING
ends 75 75 7 "$again, as 7" SLURM_JOB_ID=7
state record "JobId=7 JobName=x"
ends 75 75 7 "$again, as 7" SLURM_JOB_ID=7 "${task[@]}" # inherited from the task that submitted this job
state record ""
state state COMPLETING
for status in 75 137 143 139; do
    ends $status $status "" "" "${task[@]}"
    [ ! -s said ] || fail "a job that was cancelled, with $status: $(cat said)"
done
state state RUNNING
for status in 0 1 2; do ends $status $status "" "" "${task[@]}"; done

# Killed or crashed: it goes on if something was saved; early and without, it says why not.
for status in 137 143 132 134 135 136 139; do
    state saves 0
    rm -rf run
    case $status in
    137 | 143) ends $status $status "" " s after the start, and what kills so early" "${task[@]}" ;;
    *) ends $status $status "" "a rank has crashed, and nothing new was saved" "${task[@]}" ;;
    esac
    state saves 2
    ends $status $status 12_3 "$again, as 12_3" "${task[@]}"
done
state saves 0
ends 137 137 12_3 "$again, as 12_3" "${task[@]}" FOVEA_EARLY_S=0
ends 139 139 "" "has crashed" "${task[@]}" FOVEA_EARLY_S=0

# Three starts that save nothing end it, counted from the last save; another job counts anew.
vain() { ends 75 "$2" "$3" "$4" "${task[@]}" SLURM_RESTART_COUNT="$1"; }
rm -rf run
vain 0 75 12_3 "$again"
vain 1 75 12_3 "$again"
vain 2 1 "" "3 starts have saved nothing new"
state saves 1
vain 3 75 12_3 "$again"
state saves 0
vain 4 75 12_3 "$again"
vain 5 75 12_3 "$again"
vain 6 1 "" "3 starts have saved nothing new"
ends 75 75 9 "$again" SLURM_JOB_ID=9 SLURM_RESTART_COUNT=6
ends 75 75 "" "started again 8 times already" "${task[@]}" FOVEA_MAX_RESTARTS=8 SLURM_RESTART_COUNT=8

# So do those of an evaluation that keep no answers.
touch pack.h5
batch=(eval.sbatch results pack.h5 -- --model m) shards=(SLURM_ARRAY_TASK_{MIN,MAX,COUNT}=1)
task=(SLURM_ARRAY_JOB_ID=12 SLURM_ARRAY_TASK_ID=1 "${shards[@]}")
vain 1 75 12_1 "$again"
vain 2 1 "" "3 starts have saved nothing new"
state saves 1
vain 2 75 12_1 "$again"
ends 137 137 12_1 "$again" "${task[@]}"
state saves 0
vain 3 75 12_1 "$again"
state saves 1 kept begun.0.jsonl # lines of answers count as well as what a stop has kept
ends 137 137 12_1 "$again" "${task[@]}"
ends 137 137 12_1 "$again" "${task[@]}"
state saves 0
batch=(train.sbatch config.yaml) task=(SLURM_ARRAY_JOB_ID=12 SLURM_ARRAY_TASK_ID=3)

# Slurm does not take it back.
state refusal 1
rm -rf run
ends 75 75 12_3 "Slurm does not queue job 12_3 again (--no-requeue, or JobRequeue=0): submit it again" "${task[@]}"
state saves 1
ends 137 75 12_3 "Slurm does not queue job 12_3 again" "${task[@]}"

# Processors of a rank, and what keeps the launcher from binding it to one of them.
state saves 0 status 0
has() { # VARIABLE=VALUE TEXT OF THE ALLOCATION...
    ends 0 0 "" "" "${@:2}"
    grep -qx -- "$1" environment || fail "no $1 with ${*:2}, but $(grep -E "^(${1%%=*})=" environment)"
}
has OMP_NUM_THREADS=1 SLURM_NTASKS=8 SLURM_JOB_CPUS_PER_NODE="8" SLURM_TASKS_PER_NODE="8"
has OMP_NUM_THREADS=12 SLURM_NTASKS=2 SLURM_CPUS_PER_TASK=12 SLURM_TASKS_PER_NODE=2
has SRUN_CPUS_PER_TASK=12 SLURM_NTASKS=2 SLURM_CPUS_PER_TASK=12 SLURM_TASKS_PER_NODE=2
has OMP_NUM_THREADS=16 SLURM_NTASKS=8 SLURM_JOB_CPUS_PER_NODE="64(x2)" SLURM_TASKS_PER_NODE="4(x2)"
has SRUN_CPUS_PER_TASK=16 SLURM_NTASKS=8 SLURM_JOB_CPUS_PER_NODE="64(x2)" SLURM_TASKS_PER_NODE="4(x2)"
has OMP_NUM_THREADS=10 SLURM_NTASKS=9 SLURM_JOB_CPUS_PER_NODE="64(x2),10" SLURM_TASKS_PER_NODE="4(x2),1"
has OMP_NUM_THREADS=64 SLURM_JOB_NUM_NODES=2 SLURM_JOB_CPUS_PER_NODE="64(x2)" SLURM_TASKS_PER_NODE="64(x2)"
has "SLURM_TASKS_PER_NODE=1(x2)" SLURM_JOB_NUM_NODES=2 SLURM_JOB_CPUS_PER_NODE="64(x2)" SLURM_TASKS_PER_NODE="64(x2)"
has OMP_NUM_THREADS=3 OMP_NUM_THREADS=3 SLURM_NTASKS=1 SLURM_CPUS_PER_TASK=12
has OMPI_MCA_hwloc_base_binding_policy=none SLURM_NTASKS=1 SLURM_CPUS_PER_TASK=2
has SLURM_KILL_BAD_EXIT=1
has SLURM_EXPORT_ENV=ALL SLURM_EXPORT_ENV=NONE

# The project is where FOVEA_HOME says, or where the script is that was submitted; or that is told.
cp "$root/slurm/train.sbatch" slurm_script # where Slurm keeps a copy
from() { # TEXT [VARIABLE=VALUE...]
    (unset FOVEA_HOME && env SLURM_JOB_ID=12 SLURM_SUBMIT_DIR="$folder" "${@:2}" bash slurm_script config.yaml) >said 2>&1 || true
    grep -qF -- "$1" said arguments || fail "no \"$1\" in: $(cat said arguments)"
    : >arguments
}
state record "JobId=12 JobName=x Power= Command=$root/slurm/train.sbatch WorkDir=/"
from "train config.yaml"
state record "JobId=12 JobName=x Command=$folder/slurm_script WorkDir=/"
from "there is no $folder/slurm/job.sh: set FOVEA_HOME to the project's folder"
from "train config.yaml" FOVEA_HOME="$root"
from "train config.yaml" SLURM_SUBMIT_DIR="$root"

# An evaluation: every pack has a folder of its own, whatever the packs are called.
state record "" status 0
mkdir -p d1 d2 e/d1
touch d1/test.h5 d2/test.h5 e/d1/test.h5 other.h5 test-more.h5
evaluates() { # TASK TASKS TEXT ARGUMENT...: what the task does, or says
    local array=(SLURM_ARRAY_JOB_ID=12 SLURM_ARRAY_TASK_ID="$1" SLURM_ARRAY_TASK_MIN=1)
    : >arguments
    env SLURM_JOB_ID=12 "${array[@]}" SLURM_ARRAY_TASK_MAX="${last_task:-$2}" SLURM_ARRAY_TASK_COUNT="$2" \
        bash "$root/slurm/eval.sbatch" "${@:4}" >said 2>&1 || true
    grep -qF -- "$3" said arguments || fail "task $1 of $2 of ${*:4}: no \"$3\" in: $(cat said arguments)"
}
evaluates 3 4 "eval --data other.h5 --shard 1/2 --out out/other/shard-1 --keep --mode low" out test-more.h5 other.h5 -- --mode low
evaluates 1 2 "--data d1/test.h5 --shard 1/1 --out out/d1-test/shard-1" out d1/test.h5 d2/test.h5 -- --mode low
evaluates 2 2 "/d2/test.h5 --shard 1/1 --out out/d2-test/shard-1" out d1/test.h5 "$folder/d2/test.h5" -- --mode low
evaluates 2 3 "--data e/d1/test.h5 --shard 1/1 --out out/e-d1-test/shard-1" out ./d1/test.h5 e/d1/test.h5 other.h5 --
evaluates 3 3 "--data other.h5 --shard 1/1 --out out/other/shard-1" out d1/test.h5 e/d1/test.h5 other.h5 --
touch t.yaml
evaluates 2 2 "eval --task t.yaml --data d1/test.h5 --shard 1/1 --out out/test/shard-1 --keep --mode low" out other.h5 t.yaml=d1/test.h5 -- --mode low
evaluates 1 2 "eval --data other.h5 --shard 1/1 --out out/other/shard-1 --keep --mode low" out other.h5 t.yaml=d1/test.h5 -- --mode low
evaluates 2 2 "there is no task none.yaml" out other.h5 none.yaml=d1/test.h5 --
evaluates 1 2 "d1/test.h5 is given twice" out d1/test.h5 d2/../d1/test.h5 --
evaluates 1 1 "there is no none.h5" out none.h5 --
evaluates 1 1 "give a folder and packs" out -- --mode low
evaluates 1 3 "3 tasks cannot be shared out among 2 packs" out d1/test.h5 other.h5 --
last_task=5 evaluates 1 2 "submit all of them" out other.h5 --
rm -r out
mkdir out
got=0
env SLURM_JOB_ID=12 bash "$root/slurm/merge.sbatch" out >said 2>&1 || got=$?
[ "$got" = 2 ] && grep -q "there are no shards in out" said || fail "nothing to merge: $got $(cat said)"

# A pipeline takes the scripts of FOVEA_HOME, or those beside it, and is no array, whatever is set for sbatch.
made sbatch <<'END'
echo "$*${SBATCH_ARRAY_INX:+ as an array}" >>"$FAKE/submitted"
echo "$(wc -l <"$FAKE/submitted");cluster"
END
pipes() { # FOLDER OF SCRIPTS
    : >submitted
    [ "$(SBATCH_ARRAY_INX=1-9 bash "$root/slurm/pipeline.sh" run 2 a.h5 b.h5 -- config.yaml -- --mode low)" = "1 2 3" ] || fail "pipeline"
    diff submitted - <<END || fail "pipeline"
--parsable $1/train.sbatch config.yaml out=run
--parsable --dependency=afterok:1 --kill-on-invalid-dep=yes --array=1-4 $1/eval.sbatch run/eval a.h5 b.h5 -- --model run/model --mode low
--parsable --dependency=afterok:2 --kill-on-invalid-dep=yes $1/merge.sbatch run/eval
END
}
FOVEA_HOME=$folder pipes "$folder/slurm"
(unset FOVEA_HOME && pipes "$root/slurm")

# More tasks than an array may have.
made scontrol <<'END'
echo "MaxArraySize            = 1001"
END
! bash "$root/slurm/pipeline.sh" run 501 d1/test.h5 d2/test.h5 -- config.yaml >said 2>&1 || fail "1002 tasks"
grep -q "501 shards of 2 packs are 1002 tasks, and MaxArraySize is 1001 here: give 500 shards or fewer" said || fail "$(cat said)"
echo "job: well"
