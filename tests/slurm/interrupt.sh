#!/usr/bin/env bash
# Runs over two nodes that are interrupted end with the weights of one that was not: at the end of their time, when
# they are queued again by hand, by a preemption, by a signal, by the loss of a rank, a node or a cable, and by a
# rank that stands still. What a run repeats is a step at most, and nothing if it was warned.
nodes=20 # two for each run, and some in place of those that are lost
. "$(dirname "$0")/common"
make_run $work
steps=30
# Whole nodes, by their processors: what --exclusive takes of devices is still taken after a requeue.
options=(-N2 --ntasks-per-node=1 --cpus-per-task=2)
export FOVEA_EARLY_S=0

# The first start of a job stands still where FOVEA_AT says, so that what interrupts it comes in time on any machine.
# All are interrupted at the same time, each on nodes of its own.
program=$(readlink -f "$FOVEA")
export FOVEA=$work/fovea
cat >"$FOVEA" <<END
#!/bin/bash
[ "\${SLURM_RESTART_COUNT:-0}" = 0 ] || unset FOVEA_AT
exec $program "\$@"
END
chmod +x "$FOVEA"

begin() { # NAME [OPTION OF sbatch...] [-- KEY=VALUE...]: its job is in $job; it stands still after three steps, or $at
    local name=$1 more=() point=${at:-done:3@0=hold:$work/$1.held}
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        more+=("$1")
        shift
    done
    [ $# -eq 0 ] || shift
    FOVEA_AT=$point submit "$name" "${options[@]}" "${more[@]}" slurm/train.sbatch $work/config.yaml steps=$steps out=$work/"$name" "$@"
    log=$work/$name.log
    [ -n "${at-}" ] || until_true 100 [ -e $work/"$name".held ] || fail "$name: no third step: $(tail -n 30 "$log")"
}
go_on() { # NAME [TEXT]: once the log has the text
    [ $# = 1 ] || until_true 100 grep -qF "$2" "$log" || fail "$1: no \"$2\": $(tail -n 30 "$log")"
    rm $work/"$1".held
}
heard="info: stopping: "

restarts() { scontrol -o show job "$job" | sed -n 's/.* Restarts=\([0-9]*\).*/\1/p'; }
repeated() { echo $(($(grep -c " info: step [0-9]* of $steps:" "$log") - steps)); }

finishes() { # NAME STEPS: it was started again, repeats no more steps than that, and ends as the reference does
    ends "$job" COMPLETED 120 "$log"
    [ "$(restarts)" -ge 1 ] || fail "$1 was not started again: $(cat "$log")"
    cmp $work/"$1"/model/model.safetensors $work/whole/model/model.safetensors || fail "$1: other weights"
    [ "$(repeated)" -le "$2" ] || fail "$1 has repeated $(repeated) steps: $(cat "$log")"
    echo "$1: $(restarts) restarts, $(repeated) steps repeated"
}

ranks() { # NAME: the processes of its ranks
    grep -lzx "out=$work/$1" /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3 | while read -r process; do
        [ "$(readlink /proc/"$process"/exe)" != "$program" ] || echo "$process"
    done
}
rank_on() { # NAME NODE
    for process in $(ranks "$1"); do
        [ "$(nsenter --uts --target "$process" hostname)" != "$2" ] || echo "$process"
    done
}
since() { echo "$(date +%s.%N) $1" | awk '{ printf "%.1f", $1 - $2 }'; }
age_of_checkpoint() { # NAME: what would be lost now
    local newest
    newest=$(stat -c %.2Y $work/"$1"/checkpoints/step_* 2>/dev/null | sort -g | tail -1)
    echo "$1: interrupted $(since "$newest") s after a checkpoint"
}
last_node() { scontrol show hostnames "$(squeue -h -j "$job" -o %N)" | tail -1; }

out_of_time() {
    begin time --time=1 --signal=B:USR1@1 -- watch.margin_s=30
    go_on time "s of the allocation are left: stopping"
    finishes time 0
}
by_hand() {
    begin requeue
    scontrol requeue "$job"
    go_on requeue "$heard"
    finishes requeue 0
}
# What ranks say passes through mpirun, which they hold: it may say nothing any more.
mpirun_is_held() { ps -eo stat,args | grep -q "^T.*mpirun .*out=$work/mpirun"; }
by_hand_under_mpirun() {
    echo "FOVEA_LAUNCHER=mpirun" >$work/mpirun.env
    FOVEA_SITE=$work/mpirun.env begin mpirun
    scontrol requeue "$job"
    until_true 20 mpirun_is_held || fail "mpirun is not held: $(tail -n 30 "$log")"
    go_on mpirun
    finishes mpirun 0
}
by_signal() {
    begin signal
    scancel --signal=USR1 "$job"
    go_on signal "$heard"
    finishes signal 0
    grep -q "exit status 75; the job goes back into the queue" "$log" || fail "signal: $(cat "$log")"
}
killed() {
    begin killed
    local node process
    node=$(last_node)
    process=$(rank_on killed "$node")
    age_of_checkpoint killed
    kill -9 "$process"
    finishes killed 1
    grep -q "error: rank 1 ($node, process [0-9]*) has ended without a word; its phase was [a-z]*" "$log" ||
        fail "the lost rank is not named: $(cat "$log")"
}
silent() {
    at=done:3@1=halt begin silent -- watch.silence_s=8 # the other rank still moves: it is this one that is silent
    local node
    until_true 20 job_is "$job" RUNNING || fail "silent does not start: $(cat "$log")"
    node=$(last_node)
    finishes silent 1
    grep -q "error: rank 1 ($node, process [0-9]*) has been silent for [0-9]* s.*its phase was [a-z]*" "$log" ||
        fail "the stopped rank is not named: $(cat "$log")"
    grep -q "phase [a-z]*.*; the main thread's stack:" "$log" || fail "no stack: $(cat "$log")"
}
preempted() {
    begin preempted
    local high
    high=$(sbatch --parsable -o $work/high.log -p high -N2 -w "$(squeue -h -j "$job" -o %N)" --ntasks-per-node=1 --cpus-per-task=2 --wrap "sleep 1")
    go_on preempted "$heard"
    ends "$high" COMPLETED 90 $work/high.log
    finishes preempted 0
}
powerless() {
    begin powerless -- watch.silence_s=8
    local node
    node=$(last_node)
    age_of_checkpoint powerless
    node_off "$node"
    finishes powerless 1
}
# The copy of the job on the node without cable lives on; it can commit nothing.
cut_off() {
    begin cut -- watch.silence_s=1000
    local node old
    node=$(scontrol show hostnames "$(squeue -h -j "$job" -o %N)" | head -1)
    old=$(rank_on cut "$node")
    age_of_checkpoint cut
    cable_cut "$node"
    finishes cut 1
    kill -0 "$old" || fail "the copy of the job did not live on"
    go_on cut
    cable_plug "$node"
}

log=$work/whole.log
submit whole "${options[@]}" slurm/train.sbatch $work/config.yaml steps=$steps out=$work/whole
until_true 10 job_is "$job" RUNNING || fail "it does not start: $(cat "$log")"
started=$(date +%s.%N)
until_true 20 grep -q "step 1 of" "$log" || fail "no first step: $(cat "$log")"
echo "whole: $(since "$started") s from the job's start to the end of its first step"
ends "$job" COMPLETED 120 "$log"
[ "$(repeated)" = 0 ] || fail "the undisturbed run was disturbed: $(cat "$log")"
tail -n 6 "$log" | grep -q "^reward  *0\.[0-9]*  *0\.[0-9]*$" || fail "no table at the end: $(cat "$log")"

failed=0 all=()
for scenario in ${SCENARIOS:-out_of_time by_hand by_hand_under_mpirun by_signal killed silent preempted powerless cut_off}; do
    $scenario &
    all+=($!)
done
for one in "${all[@]}"; do wait "$one" || failed=1; done
[ $failed = 0 ] || exit 1
echo "interrupt: well"
