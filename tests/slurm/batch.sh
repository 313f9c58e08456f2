#!/usr/bin/env bash
# The batch scripts: a run over two nodes, by srun and by mpirun; a pipeline whose evaluation in three tasks gives
# what one gives; an evaluation that is stopped; the devices that ranks get.
. "$(dirname "$0")/common"
make_run $work

submit run -N2 --ntasks-per-node=2 slurm/train.sbatch $work/config.yaml
ends "$job" COMPLETED 60 $work/run.log
[ "$(wc -l <$work/run/metrics.jsonl)" = 3 ] || fail "not three steps"

echo "FOVEA_LAUNCHER=mpirun" >$work/site.env
FOVEA_SITE=$work/site.env submit mpirun -N2 --ntasks-per-node=2 slurm/train.sbatch $work/config.yaml out=$work/mpirun
ends "$job" COMPLETED 60 $work/mpirun.log
cmp $work/run/trajectories.jsonl $work/mpirun/trajectories.jsonl || fail "mpirun: other samples than with srun"

options=(--mode policy --verifier containment --prompts configs/prompts/glance.yaml --max-turn-tokens 120
    --max-tokens 320 --min-pixels 784 --max-pixels 3136)
export SBATCH_OUTPUT=$work/%x-%j.log
read -r train eval merge < <(FOVEA_TRAIN="-N2" bash slurm/pipeline.sh $work/piped 3 $work/data.h5 -- \
    $work/config.yaml steps=2 -- "${options[@]}")
ends "$train" COMPLETED 60 $work/fovea-train-"$train".log
ends "$eval" COMPLETED 60 $work/fovea-eval-"$eval".log
ends "$merge" COMPLETED 30 $work/fovea-merge-"$merge".log
"$FOVEA" eval --model $work/piped/model --data $work/data.h5 "${options[@]}" --out $work/whole >$work/whole.log
for name in samples.jsonl samples.h5; do
    cmp $work/whole/$name $work/piped/eval/data/merged/$name || fail "three tasks give another $name"
done
grep -q '^all  *64 ' $work/fovea-merge-"$merge".log || fail "no table: $(cat $work/fovea-merge-"$merge".log)"
# Merged again, the table again; another mode into the same folder is refused.
submit merge slurm/merge.sbatch $work/piped/eval
submit mode --array=1-3 slurm/eval.sbatch $work/piped/eval $work/data.h5 -- --model $work/piped/model "${options[@]}" --mode low
mode=$job
ends "$((mode - 1))" COMPLETED 30 $work/merge.log
grep -q '^all  *64 ' $work/merge.log || fail "no table again: $(cat $work/merge.log)"
ends "$mode" FAILED 30 $work/mode.log
grep -q '"mode" is "policy" in one, "low" in the other' $work/mode.log || fail "$(cat $work/mode.log)"

# An evaluation that is told to stop keeps what it has, is queued again, and comes to the same.
printf '#!/bin/bash\n[ "${SLURM_RESTART_COUNT:-0}" = 0 ] || unset FOVEA_AT\nexec %s "$@"\n' "$(readlink -f "$FOVEA")" >$work/fovea
chmod +x $work/fovea
FOVEA=$work/fovea FOVEA_AT=pass:20@0=hold:$work/held submit stopped --array=1 slurm/eval.sbatch $work/stopped $work/data.h5 -- \
    --model $work/piped/model "${options[@]}"
until_true 60 [ -e $work/held ] || fail "the evaluation does not begin: $(cat $work/stopped.log)"
scancel --signal=USR1 "$job"_1
until_true 30 grep -q "info: stopping: " $work/stopped.log || fail "it does not hear: $(cat $work/stopped.log)"
rm $work/held
ends "$job"_1 COMPLETED 60 $work/stopped.log
grep -q "going on with [0-9]* samples of an evaluation that was interrupted" $work/stopped.log || fail "$(cat $work/stopped.log)"
cmp $work/whole/samples.jsonl $work/stopped/data/shard-1/samples.jsonl || fail "stopped: other samples"

# Devices of a node, or of a task, by rank; a rank without one is refused.
placed() { # OPTION OF srun...: rank, node and device of each, in a line
    srun --mpi=pmix --kill-on-bad-exit=1 -w n1,n2 -N2 "$@" "$FOVEA" doctor --ranks 2>$work/placed.log |
        awk 'NR > 1 { printf "%s%s %s %s", (NR > 2 ? ", " : ""), $1, $2, $NF }'
}
is_placed() { # EXPECTED OPTION OF srun...
    local got
    got=$(placed "${@:2}") || true
    [ "$got" = "$1" ] || fail "with ${*:2}: $got ($(cat $work/placed.log))"
}
is_placed "0 n1 0, 1 n1 1, 2 n2 0, 3 n2 1" --ntasks-per-node=2 --gres=gpu:2
is_placed "0 n1 0, 1 n1 1, 2 n2 0, 3 n2 1" --ntasks-per-node=2 --gpus-per-task=1
is_placed "0 n1 0, 1 n2 0" --ntasks-per-node=1 --gres=gpu:1
is_placed "0 n1 none, 1 n2 none" --ntasks-per-node=1
is_placed "0 n1 0, 1 n1 none, 2 n2 0, 3 n2 none" --ntasks-per-node=2 --gres=gpu:1
grep -q "node n[12] has 1 devices for 2 ranks" $work/placed.log || fail "too few devices: $(cat $work/placed.log)"
echo "batch: well"
