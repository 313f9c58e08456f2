#!/usr/bin/env bash
# Ranks that start over several nodes start, however far one of them is ahead of another.
#
#   bash tests/slurm/starts.sh [STARTS [LAUNCHER]]      LAUNCHER: srun (the default) or mpirun
#
# With a number of starts, by hand: so many over two to four nodes with one rank or two on each, beside as many busy
# loops as the machine has processors; it counts those that failed or took a minute, and shows what they said.
. "$(dirname "$0")/common"

cat >$work/starts <<'END'
#!/usr/bin/env bash
#SBATCH --nodes=4 --ntasks-per-node=2 --exclusive
failed=0
for ((i = 1; i <= $1; i++)); do
    nodes=$((2 + i % 3)) each=$((1 + i % 2)) status=0
    ranks=$((nodes * each))
    case $2 in
    srun) start=(srun --mpi=pmix --kill-on-bad-exit=1 -N$nodes -n$ranks --ntasks-per-node=$each) ;;
    mpirun) start=(mpirun -n $ranks --map-by ppr:$each:node) ;;
    esac
    timeout -k 5 60 "${start[@]}" "$FOVEA" doctor --ranks >said 2>errors || status=$?
    [ "$status" = 0 ] && [ "$(wc -l <said)" = $((ranks + 1)) ] || {
        failed=$((failed + 1))
        echo "start $i, $nodes nodes with $each ranks: status $status"
        cat said errors
    }
done
echo "$failed of $1 starts failed"
[ $failed = 0 ]
END

start_often() { # STARTS LAUNCHER
    submit starts -D $work $work/starts "$@"
    until_true $((10 + $1)) job_ended "$job" || fail "the starts do not end: $(cat $work/starts.log)"
    cat $work/starts.log
    job_is "$job" COMPLETED || fail "starts failed"
}

[ $# = 0 ] || {
    loops=()
    for ((i = $(nproc); i > 0; i--)); do
        while :; do :; done &
        loops+=($!)
    done
    trap 'kill "${loops[@]}"' EXIT
    start_often "$1" "${2:-srun}"
    exit
}

# Rank 0 waits for rank 1 inside MPI_Init, and still does when rank 1 has left it and sends.
cat >$work/late <<'END'
if [ "$PMIX_RANK" = 0 ]; then
    export FAULT_LATE=$work/waits LD_PRELOAD=$LATE_SHIM
else
    until [ -e $work/waits ]; do sleep 0.05; done
fi
exec "$FOVEA" doctor --ranks
END
export work
timeout -k 5 100 srun --mpi=pmix --kill-on-bad-exit=1 -N2 bash $work/late >$work/said 2>$work/errors ||
    fail "a start with a late rank: status $?: $(cat $work/errors)"
[ "$(wc -l <$work/said)" = 3 ] || fail "not two ranks: $(cat $work/said $work/errors)"
start_often 9 srun
echo "starts: well"
