# Sourced by the batch scripts of this folder: the site's settings, the launcher, and the way back into the queue.
# $home is the project's folder.
site=${FOVEA_SITE:-$home/slurm/site.env}
[ ! -f "$site" ] || . "$site"
FOVEA=${FOVEA:-$home/build/release/fovea}
launcher=(${FOVEA_LAUNCHER:-srun --mpi=pmix})
command -v "$FOVEA" >/dev/null || {
    echo "slurm/job.sh: there is no $FOVEA; build it, or set FOVEA (or FOVEA_HOME, the project's folder)" >&2
    exit 1
}

# What people have set for their own questions does not change ours; and a job that a task of an array has submitted
# is no task, whatever it has inherited.
unset ${!SQUEUE_@}
record=$(scontrol -o show job "$SLURM_JOB_ID" 2>/dev/null)
[[ $record != *JobId=* || $record = *ArrayTaskId=* ]] || unset ${!SLURM_ARRAY_@}
# The job as Slurm is told of it. Of an array's tasks one has the array's own number as its job, and that number
# would mean all of them.
job=${SLURM_ARRAY_TASK_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
job=${job:-$SLURM_JOB_ID}

# "2(x3),1", as Slurm writes numbers of nodes: 2 2 2 1, one a line.
spread() {
    local part times
    for part in ${1//,/ }; do
        times=1
        [[ $part != *x* ]] || times=$(tr -dc 0-9 <<<"${part#*x}")
        for ((; times > 0; times--)); do echo "${part%%(*}"; done
    done
}

# Processors of a rank: those asked for, or its share of the node that has the fewest for its ranks. Where no number
# of ranks was asked for, srun starts one on a node, and so shall mpirun.
[ -n "${SLURM_NTASKS-}" ] || export SLURM_TASKS_PER_NODE="1(x${SLURM_JOB_NUM_NODES:-1})"
cpus=${SLURM_CPUS_PER_TASK:-$(paste <(spread "${SLURM_JOB_CPUS_PER_NODE:-1}") <(spread "$SLURM_TASKS_PER_NODE") |
    awk 'NF == 2 { n = int($1 / $2); if (!least || n < least) least = n } END { print (least > 1 ? least : 1) }')}
export SRUN_CPUS_PER_TASK=$cpus OMP_NUM_THREADS=${OMP_NUM_THREADS:-$cpus}
# mpirun would bind a rank, and all threads of it, to one core. (The second name is that of Open MPI 5.)
[ "$cpus" -eq 1 ] || export OMPI_MCA_hwloc_base_binding_policy=none PRTE_MCA_hwloc_default_binding_policy=none
# A rank that ends badly ends the step; and what is set here reaches the ranks, also after sbatch --export=NONE.
export SLURM_KILL_BAD_EXIT=1 SLURM_EXPORT_ENV=ALL
# The barriers of MPI_Init and MPI_Finalize wait for all nodes (src/comm/pmix.h).
export SLURM_PMIX_FENCE=${SLURM_PMIX_FENCE:-ring}

say() { echo "slurm/job.sh: $*" >&2; }

# Progress of $run, a run's folder or an evaluation's: the newest checkpoint, or the answers that an evaluation has
# kept, as a text that changes with every save; nothing without one.
newest() {
    [ -n "$run" ] || return 0
    {
        stat -c '%n %.9Z' "$run"/checkpoints/step_* | sort -V
        stat -c '%.9Z %n' "$run"/begun.* | sort -n
    } 2>/dev/null | tail -n 1
}

# How many starts of this job, with this one, have begun at the checkpoint that is the newest now: RUN/.starts keeps
# the job, the first of those starts, and the checkpoint.
count_starts() {
    local start=$((${SLURM_RESTART_COUNT:-0} + 1)) first was_job was_first was
    before=$(newest)
    first=${before:+$start}
    if [ -f "$run/.starts" ]; then
        read -r was_job was_first was <"$run/.starts"
        first=$start
        [ "$was_job $was" != "$job $before" ] || first=$was_first
    fi
    n_starts=$((start - ${first:=1} + 1))
    [ -z "$run" ] || [ ! -d "$run" ] || echo "$job $first $before" 2>/dev/null >"$run/.starts"
}

# launch ARGUMENT...: run fovea on all ranks; its exit status is in $status. The folder of an evaluation is in $run. The
# launcher passes USR1 on to the ranks; TERM comes to them from Slurm. Bash handles a signal only while it waits.
launch() {
    local child
    [ "$1" = eval ] || run=
    [[ $1 != train && $1 != sft ]] || run=$("$FOVEA" "$@" --folder 2>/dev/null)
    count_starts
    "${launcher[@]}" "$FOVEA" "$@" &
    child=$!
    trap 'kill -USR1 "$child" 2>/dev/null' USR1
    trap : TERM
    while kill -0 "$child" 2>/dev/null; do wait "$child"; done
    wait "$child"
    status=$?
}

# Neither cancelled nor queued again by Slurm. Yes, if nobody knows.
is_running() {
    local state
    state=$(squeue -h -j "$job" -o %T) || return 0
    [ "$state" = RUNNING ]
}

queue_again() {
    if [ "${SLURM_RESTART_COUNT:-0}" -ge "${FOVEA_MAX_RESTARTS:-1000}" ]; then
        say "started again $SLURM_RESTART_COUNT times already (FOVEA_MAX_RESTARTS)"
        return
    elif [ -z "$is_saved" ] && [ "$n_starts" -ge 3 ]; then
        say "exit status $status; $n_starts starts have saved nothing new, another would not either: see what ended" \
            "them, above, or ask for more time (sbatch --time)"
        status=1
        return
    fi
    say "exit status $status; the job goes back into the queue, as $job"
    scontrol requeue "$job" || {
        say "Slurm does not queue job $job again (--no-requeue, or JobRequeue=0): submit it again, and it goes on" \
            "where it was"
        status=75
    }
}

# End the job. 75: the run has saved itself and goes on in another allocation. A rank that was killed (137, 143) or
# has crashed: the run goes on from its last checkpoint; but what ends a rank before anything is saved, within the
# first minute or by a crash, would do so again.
finish() {
    local seconds=$SECONDS is_saved=
    [ "$(newest)" = "$before" ] || is_saved=yes
    [[ $status =~ ^(75|1[34][0-9])$ ]] && is_running || exit "$status"
    case $status in
    75) queue_again ;;
    137 | 143)
        if [ -n "$is_saved" ] || [ "$seconds" -ge "${FOVEA_EARLY_S:-60}" ]; then
            queue_again
        else
            say "exit status $status: a rank was killed $seconds s after the start, and what kills so early (too" \
                "little memory?) would do so again: the job is not queued again (FOVEA_EARLY_S)"
        fi
        ;;
    132 | 134 | 135 | 136 | 139)
        if [ -n "$is_saved" ]; then
            queue_again
        else
            say "exit status $status: a rank has crashed, and nothing new was saved: the job is not queued again"
        fi
        ;;
    esac
    exit "$status"
}
