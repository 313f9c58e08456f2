#!/usr/bin/env bash
# fovea bench beside transformers, PyTorch's attention and vLLM: the same work on the same card, one after the other,
# with random weights. What is not installed, or fails, is told in the table.
#
# usage: bash tests/bench/peers/run.sh FOLDER [SHAPE...]      FOLDER is made; SHAPE: 7b and 3b by default, or tiny
#
# Settings, by the environment: FOVEA is the program (build/cuda/fovea), BACKEND what it runs on (cuda), PRECISION
# (bf16), REPEATS of its measurements (2), PYTHON one that has PyTorch (python3), LIMIT the seconds that a program may
# take (600), ONLY the programs that run, of fovea, transformers, attention, vllm and start (all), ROWS what peers are asked
# for (all; rows.py has the words).
set -u -o pipefail
export PYTHONDONTWRITEBYTECODE=1
case ${1--h} in
-h | --help)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"
    exit 0
    ;;
esac
mkdir -p "$1" || exit 1
out=$(cd "$1" && pwd) here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
shift
[ $# -gt 0 ] || set -- 7b 3b
fovea=${FOVEA:-$root/build/cuda/fovea} backend=${BACKEND:-cuda} python=${PYTHON:-python3} limit=${LIMIT:-600}
only=" ${ONLY:-fovea transformers attention vllm start} "
models=$(mktemp -d "${TMPDIR:-/tmp}/peers.XXXXXX")
trap 'rm -rf "$models"' EXIT
say() { echo "$(date -u +%T) $*" >&2; }

# keep NAME COMMAND...: run it; NAME.log is what it says, NAME.why, if it fails, why.
keep() {
    local name=$1 status=0
    shift
    say "$name"
    rm -f "$out/$name.why"
    timeout "$limit" "$@" >"$out/$name.log" 2>&1 || status=$?
    [ $status -eq 0 ] || echo "ended with status $status: $(grep -v '^ *$' "$out/$name.log" | tail -n 1 | cut -c 1-120)" >"$out/$name.why"
}
wants() { case $only in *" $1 "*) true ;; *) false ;; esac; }

# measure SHAPE NAME WORDS: one command of fovea bench.
measure() {
    keep "fovea-$1-$2" "$fovea" bench $3 --shape "$1" --backend "$backend" --precision "${PRECISION:-bf16}" \
        --repeats "${REPEATS:-2}" --json "$out/fovea-$1-$2.json"
}
# peer NAME SHAPE MODULE PROGRAM ARGUMENT...
peer() {
    local name=$1-$2 module=$3 program=$4
    shift 4
    if "$python" -c "import $module" 2>"$out/$name.log"; then
        keep "$name" "$python" "$here/$program" "$@"
    else
        echo "not installed here" >"$out/$name.why"
    fi
}

commit=${COMMIT:-$(git -C "$root" log -1 --format=%h 2>/dev/null)}
device=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -n 1)
echo "{\"date\": \"$(date -u +%F)\", \"commit\": \"$commit\", \"device\": \"${device:-cpu}\"}" >"$out/about.json"
for shape in "$@"; do
    if wants fovea; then
        while read -r name words; do
            measure "$shape" "$name" "$words" </dev/null
        done < <("$python" "$here/rows.py" "$shape")
    fi
    if wants start || wants vllm; then
        file=$root/configs/model/qwen2.5-vl-$shape.yaml
        [ "$shape" != tiny ] || file=$root/configs/model/tiny-vl.yaml
        keep "model-$shape" "$fovea" init --noise --shape "$file" --out "$models/$shape"
    fi
    if wants start; then
        keep "fovea-$shape-start" "$fovea" bench start --model "$models/$shape" --backend "$backend" \
            --precision "${PRECISION:-bf16}" --repeats "${REPEATS:-2}" --json "$out/fovea-$shape-start.json"
    fi
    model=$models/$shape
    ! wants attention || peer attention "$shape" torch peer_attention.py "$shape" "$out/attention-$shape.json" ${ROWS-}
    ! wants transformers || peer transformers "$shape" transformers peer_transformers.py "$shape" "$out/transformers-$shape.json" "$model" ${ROWS-}
    ! wants vllm || peer vllm "$shape" vllm peer_vllm.py "$shape" "$out/vllm-$shape.json" "$model" ${ROWS-}
    rm -rf "${models:?}/$shape"
done
"$python" "$here/table.py" "$out"
