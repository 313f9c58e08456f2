# Sourced by the batch scripts of this folder: the site's settings, the launcher, and the way back into the queue.
home=${FOVEA_HOME:-$SLURM_SUBMIT_DIR}
site=${FOVEA_SITE:-$home/slurm/site.env}
[ ! -f "$site" ] || . "$site"
FOVEA=${FOVEA:-$home/build/release/fovea}
launcher=(${FOVEA_LAUNCHER:-srun --mpi=pmix --kill-on-bad-exit=1})
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$SRUN_CPUS_PER_TASK}
# What mpirun does with TERM: pass it on, and kill the ranks so many seconds later.
export OMPI_MCA_odls_base_sigkill_timeout=${OMPI_MCA_odls_base_sigkill_timeout:-60}

command -v "$FOVEA" >/dev/null || {
    echo "slurm/job.sh: there is no $FOVEA; build it, or set FOVEA (or FOVEA_HOME, the project's folder)" >&2
    exit 1
}

# launch ARGUMENT...: run fovea on all ranks; its exit status is in $status. The launcher passes USR1 on to the
# ranks; TERM comes to them from Slurm. Bash handles a signal only while it waits.
launch() {
    local child
    "${launcher[@]}" "$FOVEA" "$@" &
    child=$!
    trap 'kill -USR1 "$child" 2>/dev/null' USR1
    trap : TERM
    while kill -0 "$child" 2>/dev/null; do wait "$child"; done
    wait "$child"
    status=$?
}

queue_again() {
    if [ "${SLURM_RESTART_COUNT:-0}" -ge "${FOVEA_MAX_RESTARTS:-1000}" ]; then
        echo "slurm/job.sh: started again $SLURM_RESTART_COUNT times already (FOVEA_MAX_RESTARTS)" >&2
    elif [ "$(squeue -h -j "$SLURM_JOB_ID" -o %T)" = RUNNING ]; then # neither cancelled nor queued again by Slurm
        echo "slurm/job.sh: exit status $status; the job goes back into the queue" >&2
        scontrol requeue "$SLURM_JOB_ID"
    fi
}

# End the job. 75: the run has saved itself and goes on in another allocation. 137 and 143: a rank was killed, and
# the run goes on from its last checkpoint; but what kills a rank within the first minute would do so again.
finish() {
    case $status in
    75) queue_again ;;
    137 | 143) [ "$SECONDS" -lt "${FOVEA_EARLY_S:-60}" ] || queue_again ;;
    esac
    exit "$status"
}
