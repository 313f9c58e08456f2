#!/usr/bin/env bash
# A process whose launcher is killed while MPI starts does not wait for it for ever.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"

mpiexec -n 1 sh -c 'sleep 1; exec "$FOVEA" doctor --ranks' >"$folder/out" 2>&1 &
launcher=$!
for _ in $(seq 200); do
    process=$(pgrep -P $launcher || true)
    [ -z "$process" ] || break
    sleep 0.02
done
kill -STOP $launcher # what the process waits for
for _ in $(seq 200); do
    grep -qz doctor "/proc/$process/cmdline" && [ "$(tr '\0' ' ' <"/proc/$process/cmdline")" = "$FOVEA doctor --ranks " ] && break
    sleep 0.02
done
sleep 0.5
kill -KILL $launcher
for _ in $(seq 200); do
    kill -0 "$process" 2>/dev/null || break
    sleep 0.02
done
! kill -9 "$process" 2>/dev/null || fail "it lives on"
echo "orphan: well"
