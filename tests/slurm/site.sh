#!/usr/bin/env bash
# Sites and requests that cannot work are told in a sentence: no sbatch, no such partition, ranks that do not fit the
# layout, a folder that cannot be written, too little time, no program.
. "$(dirname "$0")/common"
make_run $work

says() { # STATUS TEXT COMMAND...
    local expected=$1 text=$2 status=0
    shift 2
    "$@" >$work/said 2>&1 || status=$?
    [ "$status" = "$expected" ] || fail "status $status, not $expected, of $*: $(cat $work/said)"
    grep -qF -- "$text" $work/said || fail "no \"$text\" in: $(cat $work/said)"
}
job_says() { # TEXT OPTION OF sbatch... -- ARGUMENT...
    local text=$1 options=()
    shift
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    : >$work/job.log
    submit job "${options[@]}" slurm/train.sbatch $work/config.yaml "$@"
    ends "$job" FAILED 60 $work/job.log
    grep -qF -- "$text" $work/job.log || fail "no \"$text\" in: $(cat $work/job.log)"
}

cat >$work/sweep.yaml <<END
config: $work/config.yaml
out: $work/sweep
grid: {seed: [1]}
END
mkdir $work/empty
for program in sh id; do ln -s "$(command -v $program)" $work/empty; done
says 1 "there is no sbatch here: submit where the cluster's Slurm is" env PATH=$work/empty "$FOVEA" sweep submit $work/sweep.yaml
says 1 "sbatch has refused the runs" "$FOVEA" sweep submit $work/sweep.yaml -- --partition=nowhere
grep -q "nvalid partition" $work/said || fail "not Slurm's reason: $(cat $work/said)"
says 1 "there is no $work/slurm/sweep.sbatch: submit from the project's folder, or set FOVEA_HOME" \
    env FOVEA_HOME=$work "$FOVEA" sweep submit $work/sweep.yaml
job_says "layout.tensor is 2, but 3 ranks" -N3 --ntasks-per-node=1 -- layout.tensor=2
job_says "cannot create folder /proc/run" -N1 -- out=/proc/run
job_says "s of the allocation are left, and watch.margin_s keeps 70 s of them free: ask for more time" \
    -N1 --time=1 -- watch.margin_s=70
# A plain srun tells MPI nothing: no second run of one rank. A script without srun is one process, whatever it asked for.
says 1 "2 processes were started together (SLURM_STEP_NUM_TASKS), but MPI finds 1: each would be a run of its own; start them with srun --mpi=pmix, or mpirun" \
    srun -n2 --mpi=none "$FOVEA" train $work/config.yaml out=$work/single
[ ! -e $work/single ] || fail "a plain srun leaves a run"
submit script -n2 --wrap "$FOVEA train $work/config.yaml out=$work/script steps=1"
ends "$job" COMPLETED 60 $work/script.log
FOVEA=$work/nothing job_says "there is no $work/nothing; build it, or set FOVEA" -N1 --
echo "site: well"
