#!/usr/bin/env bash
# The commands of slurm/README.md, line by line, in a copy of the project with what the quickstart leaves. What
# differs here: the training is short, and a node has two processors.
. "$(dirname "$0")/common"
project=$work/project
made=build/quickstart/1
mkdir -p $project/build/release $project/$made/{sft,run}
cp -r "$root/slurm" "$root/configs" $project
rm -f $project/slurm/site.env
ln -s "$FOVEA" $project/build/release/fovea
export PATH=$project/build/release:$PATH
unset FOVEA FOVEA_HOME OMP_NUM_THREADS
cd $project
fovea init --shape configs/model/glance-vl.yaml --out $made/sft/model --seed 1 --dtype fp32
cp -r $made/sft/model $made/run/model
fovea pack --synthetic glance --rows 96 --seed 1 --out $made/train.h5 >/dev/null
fovea pack --synthetic glance --rows 24 --seed 2 --out $made/held-out.h5 >/dev/null
sed -Ei 's/^steps: .*/steps: 2/; s/^( +)(prompts|groups): [0-9]+.*/\1\2: 8/' configs/train/glance.yaml

queue_is_empty() { [ -z "$(squeue -h)" ]; }
wait_for_jobs() { until_true 90 queue_is_empty || fail "$(squeue; tail -n 5 $project/*.log)"; }
lines() { # of the section, those that are commands
    sed -n '/^## Commands/,/^## How/s/^    //p' "$root/slurm/README.md" | sed 's/--ntasks-per-node=8/--ntasks-per-node=2/'
}
lines >$work/lines
[ "$(wc -l <$work/lines)" -ge 10 ] || fail "no commands in the README"
while IFS= read -r line <&3; do
    [[ $line != "sbatch slurm/merge.sbatch "* ]] || wait_for_jobs # "when all are done"
    echo "\$ $line"
    eval "$line" || fail "status $? of: $line"
done 3<$work/lines
wait_for_jobs
fovea sweep status configs/sweep/glance.yaml | tail -1 | grep -qx "6 done" || fail "$(fovea sweep status configs/sweep/glance.yaml; cat runs/sweep-glance/submissions/*/*.log)"
failed=$(scontrol -o show job | grep -v JobState=COMPLETED | sed -n 's/.* StdOut=\([^ ]*\).*/\1/p')
[ -z "$failed" ] || fail "jobs that have failed: $(head -n 40 $failed)"
for model in runs/glance runs/one; do [ -e $model/model/config.json ] || fail "no model in $model"; done
[ "$(grep -l '^all  *24 ' fovea-merge-*.log | wc -l)" = 2 ] || fail "no tables: $(cat fovea-merge-*.log)"
echo "readme: well"
