#!/usr/bin/env bash
# What goes wrong on a device, and what is said then: a kernel that fails, one that hangs, and memory that is not there.
#
# usage: FOVEA=.../fovea bash tests/gpu/faults.sh FOLDER      FOLDER: of a small run (make_run)
set -eu
. "$(dirname "$0")/../common"
folder=$1
run() { "$FOVEA" train "$folder/config.yaml" backend=cuda precision=bf16 out="$folder/$1" "${@:2}" 2>"$folder/$1.log"; }
says() { grep -q -- "$2" "$folder/$1.log" || fail "$1: no \"$2\" in: $(cat "$folder/$1.log")"; }

# A kernel that fails is told by whoever asks next; on request it is named itself.
! FOVEA_CUDA_PLANT=fault:attention run fault || fail "a fault was not seen"
says fault "rank 0, phase rollout, .*: CUDA: .*: an illegal memory access was encountered, in .* or in what was queued before it"
! FOVEA_CUDA_SYNC=1 FOVEA_CUDA_PLANT=fault:attention run exact || fail "a fault was not seen"
says exact "rank 0, phase rollout, attention: CUDA: attention.*: an illegal memory access was encountered$"

# A kernel that hangs stands still with all that waits for it, and the watch ends the run. What waits may be a product:
# one that is met the first time is measured.
status=0
FOVEA_CUDA_PLANT=hang:attention_grad run hang watch.silence_s=4 || status=$?
[ $status = 75 ] || fail "a run that hangs ended with $status: $(cat "$folder/hang.log")"
says hang "no rank has moved for [4-9] s"
says hang "phase update, \(in a wait for the device, \)\?last operation [a-z_]*; the main thread's stack:"

# More than there is: as it is predicted, and as it is found.
most=33554431 # pages: 0.8 TB
! run planned rollout.cache_pages=$most || fail "there was room for all of it"
says planned "a rank would hold .* of tensors, and there is room for .*rollout.cache_pages"
! run found rollout.cache_pages=$most memory_gigabytes=1000000000 || fail "there was room for all of it"
says found "rollout does not fit: lower cache_pages ($most), .*out of device memory: [0-9.]* GiB were asked for .*, and device 0 has [0-9.]* of [0-9.]* GiB free"
echo "faults: well"
