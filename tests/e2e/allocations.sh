#!/usr/bin/env bash
# What is generated is the same on any allocation: by 4 or 8 ranks that hold one model together as by 1, and by 4, 2 and 1
# from the checkpoint that the 4 have left. Another order of sums is another run, and is refused.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"
. "$TEST_DATA/../e2e/common"

make_run "$folder"
run() { # JOB NAME RANKS [KEY=VALUE...]: as many ranks hold one model together
    local job=$1 name=$2 ranks=$3 status=0
    shift 3
    mpiexec -n "$ranks" "$FOVEA" "$job" "$folder/config.yaml" rollout.prompts=6 update.groups=6 rollout.samples=4 \
        layout.tensor="$ranks" out="$folder/$name" "$@" 2>"$folder/$name.log" || status=$?
    return $status
}
same() { # NAME NAME: what was generated, and what is measured of it
    cmp "$folder/$1/trajectories.jsonl" "$folder/$2/trajectories.jsonl" || fail "$2: other responses than $1"
    cmp <(field "$1" entropy) <(field "$2" entropy) || fail "$2: other entropies than $1"
    [ "$(field "$2" logprob_max_diff | sort -u)" = 0.0 ] || fail "$2: log-probs differ from the rollout's"
}

for precision in fp32 bf16; do
    well train one_$precision 1 steps=1 precision=$precision
    well train four_$precision 4 steps=1 precision=$precision
    same one_$precision four_$precision
done
for ranks in 4 2 1; do
    well train from_$ranks $ranks steps=2 resume="$(latest four_fp32)"
    same from_4 from_$ranks
done
grep -q . "$folder/from_4/trajectories.jsonl" || fail "nothing was generated"

# Eight ranks, where the heads of both towers are as many; those of keys and values are not.
sed '/^vision:/,$s/n_heads: 4/n_heads: 8/' "$root/configs/model/tiny-vl.yaml" >"$folder/eight.yaml"
"$FOVEA" init --shape "$folder/eight.yaml" --out "$folder/eight" --seed 1 --dtype fp32
for ranks in 1 8; do
    well train eight_$ranks $ranks steps=1 rollout.samples=2 layout.chunks=8 model="$folder/eight"
done
same eight_1 eight_8

refused "layout.chunks is 2, was 4" train from_chunks 2 steps=2 layout.chunks=2 resume="$(latest four_fp32)"
well train from_chunks 2 steps=2 layout.chunks=2 resume="$(latest four_fp32)" resume.accept=layout.chunks
