#!/usr/bin/env bash
# The cluster of the tests: its nodes run jobs, have two devices each, go down without power or cable, and come
# back; a node without its cable keeps running what it has.
. "$(dirname "$0")/common"

[ "$(srun -N4 -n8 hostname | sort | uniq -c | tr -s ' ' | tr -d '\n')" = " 2 n1 2 n2 2 n3 2 n4" ] || fail "srun"
[ "$(srun -N1 --gres=gpu:2 printenv CUDA_VISIBLE_DEVICES)" = 0,1 ] || fail "devices"

srun -w n2 bash -c "while sleep 0.2; do date >$work/beat; done" &
srun -w n3 sleep 1000 &
until_true 10 nodes_are 2 alloc,mix && until_true 10 [ -e $work/beat ] || fail "nothing runs"
cable_cut n2
node_off n3
until_true 60 nodes_are 2 down || fail "a node without power or cable is not down"
rm -f $work/beat
until_true 5 [ -e $work/beat ] || fail "a node without cable stopped"
cable_plug n2
node_on n3
until_true 30 nodes_are 4 idle || fail "the nodes do not come back"
echo "cluster: well"
