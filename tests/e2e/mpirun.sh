#!/usr/bin/env bash
# A run under plain mpirun stops as configs/README.md says, whoever is told: USR1 ends it with 75; TERM and Ctrl-C, of which
# mpirun makes status 1 and a kill, are held until all is saved. No token is generated twice. A signal is heeded from the
# first moment.
. "$(dirname "$0")/../common"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
make_run "$folder"

run() { # NAME [COMMAND...]
    "${@:2}" mpirun -n 2 "$FOVEA" train "$folder/config.yaml" out="$folder/$1" steps=2 >>"$folder/$1.log" 2>&1
}
is_held() { # PROCESS
    [ "$(cut -d' ' -f3 "/proc/$1/stat" 2>/dev/null)" = T ]
}

# The launcher is told in the middle of the first step; rank 0 is kept there until the launcher has acted.
stop() { # NAME SIGNAL STATUS
    local launcher status=0
    FOVEA_AT="pass:3@0=hold:$folder/$1.held" run "$1" exec setsid &
    launcher=$!
    until [ -e "$folder/$1.held" ]; do
        kill -0 $launcher 2>/dev/null || fail "$1: it does not start: $(cat "$folder/$1.log")"
        sleep 0.05
    done
    kill -"$2" -- -$launcher
    [ "$3" = 75 ] || until is_held $launcher; do
        kill -0 $launcher 2>/dev/null || fail "$1: mpirun has killed the run: $(cat "$folder/$1.log")"
        sleep 0.05
    done
    rm "$folder/$1.held"
    wait $launcher || status=$?
    [ $status = "$3" ] || fail "$1: mpirun's status is $status, not $3: $(cat "$folder/$1.log")"
    # In the run's own log: a launcher that is held passes on what ranks say, or ends before it does.
    grep -q "stopped after step 0 of 2; started again, the run goes on" "$folder/$1/log" ||
        fail "$1: $(cat "$folder/$1.log")"
    run "$1" || fail "$1 does not go on: $(cat "$folder/$1.log")"
    for file in model/model.safetensors trajectories.jsonl; do
        cmp "$folder/$1/$file" "$folder/whole/$file" || fail "$1: other $file"
    done
    [ "$(grep -c " info: step 1 of 2:" "$folder/$1/log")" = 1 ] || fail "$1 has repeated a step"
}

run whole || fail "$(cat "$folder/whole.log")"
stop usr1 USR1 75
stop term TERM 1
stop ctrl_c INT 1

# Ranks that are killed while they hold the launcher leave it free to end.
FOVEA_AT="pass:3@0=hold:$folder/killed.held" run killed exec setsid &
launcher=$!
await $launcher [ -e "$folder/killed.held" ] || fail "killed: it does not start: $(cat "$folder/killed.log")"
ranks="$(rank_of $launcher 0) $(rank_of $launcher 1)"
kill -TERM -- -$launcher
await $launcher is_held $launcher || fail "killed: mpirun has killed the run: $(cat "$folder/killed.log")"
kill -9 $ranks
status=0
wait $launcher || status=$?
[ $status != 0 ] || fail "killed: mpirun's status is 0"
run killed || fail "killed does not go on: $(cat "$folder/killed.log")"

# Rank 0 waits inside MPI_Init for rank 1, which is not started before rank 0 was told there.
cat >"$folder/late" <<'END'
if [ "$OMPI_COMM_WORLD_RANK" = 0 ]; then
    export FAULT_LATE=$folder/waits LD_PRELOAD=$LATE_SHIM
else
    until [ -e "$folder/told" ]; do sleep 0.05; done
fi
exec "$FOVEA" train "$folder/config.yaml" out="$folder/early"
END
export folder
mpirun -n 2 bash "$folder/late" >"$folder/early.log" 2>&1 &
launcher=$!
until [ -e "$folder/waits" ]; do
    kill -0 $launcher || fail "no start: $(cat "$folder/early.log")"
    sleep 0.05
done
kill -USR1 "$(rank_of $launcher 0)"
rm "$folder/waits"
touch "$folder/told"
status=0
wait $launcher || status=$?
[ $status = 75 ] || fail "a signal inside MPI_Init ends with $status: $(cat "$folder/early.log")"
echo "mpirun: well"
