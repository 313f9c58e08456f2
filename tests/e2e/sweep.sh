#!/usr/bin/env bash
# fovea sweep with made-up Slurm commands: tables of runs that are not all alike, and what has become of each.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$TEST_DATA/../common"
cd "$folder"
unset FOVEA_HOME ${!SQUEUE_@} ${!SBATCH_@}

printf 'model: m\nout: o\nprompts: p\nsteps: 1\ndata: {train: t}\n' >config.yaml
plan() { # LINE...: the sweep with these lines
    printf 'config: config.yaml\nout: sweep\n' >sweep.yaml
    printf '%s\n' "$@" >>sweep.yaml
}
sweep() { "$FOVEA" sweep "$@"; }
made() { # NAME [LINE OF metrics.jsonl...]: a run's folder
    mkdir -p "sweep/$1"
    [ $# -eq 1 ] || printf '%s\n' "${@:2}" >"sweep/$1/metrics.jsonl"
}

# Runs without figures, without the metric yet, with a null, and with settings that others have not.
plan 'grid: {seed: [1, 2, 3, 4]}' 'list: [{optimizer.rate: 0.5}, {seed: 9, steps: 7}]'
sweep collect sweep.yaml >table || fail "before anything was submitted: status $?"
[ "$(grep -c 'not submitted' table)" = 6 ] && [ ! -e sweep ] || fail "$(cat table)"
made seed=1 '{"reward": 0.5, "loss": 1.0, "step": 2}'
made seed=2
made seed=3 '{"loss": 2.0, "step": 1}'
made seed=4 '{"reward": 0.25, "step": 1}' '{"reward": null, "step": 2}'
made rate=0.5 '{"reward": 0.75, "other": "a,b", "step": 3}'
sweep collect sweep.yaml >table || fail "status $?: $(cat table)"
[ "$(awk 'NR > 1 && NF > 3 { print $1 }' table | head -2 | tr '\n' ' ')" = "rate=0.5 seed=1 " ] || fail "order: $(cat table)"
cat >expected <<'END'
run,state,seed,optimizer.rate,steps,reward,other,step,loss
rate=0.5,failed,,0.5,,0.75,"a,b",3,
seed=1,failed,1,,,0.5,,2,1
END
diff expected <(head -3 sweep/results.csv) || fail "the table as CSV"
[ "$(awk -F, '{ print NF }' <(tail -n +3 sweep/results.csv) | sort -u)" = 9 ] || fail "$(cat sweep/results.csv)"
grep -qx 'seed=2,failed,2,,,,,,' sweep/results.csv || fail "no figures: $(cat sweep/results.csv)"

# A metric that no run has.
plan 'grid: {seed: [1]}' 'metric: rewrad'
! sweep collect sweep.yaml >table 2>said || fail "a metric that no run has"
grep -qF 'no run has a figure "rewrad": metric must be one of their metrics.jsonl' said || fail "$(cat said)"

# Slurm: an sbatch that numbers jobs and refuses what is too large; a queue that the test writes, and that obeys what is
# set for squeue.
mkdir bin slurm
touch slurm/sweep.sbatch
fake() { # NAME: a command, from standard input
    { echo "#!/usr/bin/env bash" && cat; } >"bin/$1"
    chmod +x "bin/$1"
}
fake sbatch <<'END'
printf '%s\n' "$@" >"$FAKE/submitted"
env | grep '^SBATCH_' >>"$FAKE/submitted"
case $* in *--array=1-5*) echo "sbatch: error: Invalid job array specification" >&2 && exit 1 ;; esac
echo "a greeting of the site"
echo "$(($(cat "$FAKE/number" 2>/dev/null || echo 10) + 1));cluster" | tee "$FAKE/last"
cut -d';' -f1 "$FAKE/last" >"$FAKE/number"
END
fake squeue <<'END'
case " $* " in *" --user"*) exit 0 ;; esac # the runs are another's
[ -z "${SQUEUE_FORMAT2-}${SQUEUE_STATES-}" ] || exit 0
cat "$FAKE/queue"
END
fake scontrol <<'END'
echo "MaxArraySize            = 5"
END
export FAKE=$folder PATH=$folder/bin:$PATH SQUEUE_FORMAT2=JobID SQUEUE_STATES=PENDING SBATCH_WAIT=1 SACCT_FORMAT=JobID
queue() { printf '%s\n' "$@" >queue; }
row() { # NAME TEXT: the line of a run
    sweep status sweep.yaml >table 2>&1 || fail "status: $(cat table)"
    grep -E "^$1 " table | grep -qE -- "$2" || fail "no $2 of $1 in: $(cat table)"
}
sums() { # TEXT: the last line
    sweep status sweep.yaml | tail -1 | grep -qx -- "$1" || fail "not $1: $(sweep status sweep.yaml)"
}
submits() { # VERB RUN...: it queues these, and nothing else
    sweep "$1" sweep.yaml --dry-run >said || fail "$1: $(cat said)"
    [ "$(grep -E '^[^ ]+	' said | cut -f1 | tr '\n' ' ')" = "${*:2}${2:+ }" ] || fail "$1, not ${*:2}: $(cat said)"
}

rm -r sweep
: >queue
plan 'grid: {seed: [1, 2, 3, 4]}'
sweep submit sweep.yaml -- --comment=mine --time=5 >said || fail "submit: $(cat said)"
grep -qx "job 11: 4 runs" said || fail "$(cat said)"
[ "$(grep -c -- --comment submitted)" = 1 ] && grep -qx -- --comment=mine submitted || fail "the user's comment: $(cat submitted)"
! grep -q SBATCH_WAIT submitted || fail "it waits for the runs"
grep -qx -- "--output=$folder/sweep/submissions/0001/runs-%a.log" submitted || fail "$(cat submitted)"

# In the queue: nobody's own comment, no user, no variable of squeue matters; the reason is Slurm's.
queue "11  1  PENDING  0  Resources" "11  2  RUNNING  0  None" "11  3  PENDING  2  BeginTime" \
    "11  4  PENDING  0  Dependency never satisfied" "12  1  RUNNING  0  None" "7  N/A  RUNNING  0  None"
row seed=1 'waiting .*job 11_1 .*0001/runs-1.log: Resources$'
row seed=2 'running .*job 11_2 .*runs-2.log$'
row seed=3 'queued again .*job 11_3 .*BeginTime$'
row seed=4 'waiting .*: Dependency never satisfied$'
queue "11  1  SUSPENDED  0  None" "11  2  COMPLETING  1  None" "11  3  REQUEUE_HOLD  2  job requeued in held state" \
    "11  4  CONFIGURING  0  None"
sums "3 running, 1 queued again"
queue "11  1  PENDING  0  Resources" "11  2  RUNNING  0  None" "11  3  PENDING  2  BeginTime" "11  4  PENDING  0  Priority"
sums "2 waiting, 1 running, 1 queued again"
submits submit
submits retry

# Without a folder, out of the queue: failed, with what the log or Slurm says.
list=sweep/submissions/0001
printf '%s\n' "run seed=1" "fovea: on the command line: steps is -1, expected a whole number" \
    "srun: error: n1: task 0: Exited with exit code 1" "" >$list/runs-1.log
printf 'slurmstepd: error: *** JOB 12 ON n1 CANCELLED DUE TO TIME LIMIT ***\n' >$list/runs-2.log
printf 'fovea: an older start\nbash: \e]0;no\a program\n' >$list/runs-4.log
queue "11  2  TIMEOUT  0  None"
row seed=1 'failed .*step 0 .*job 11_1 .*runs-1.log: fovea: on the command line: steps is -1'
row seed=2 'failed .*: TIMEOUT: slurmstepd: error: .* DUE TO TIME LIMIT'
row seed=3 'failed .*job 11_3 .*runs-3.log$'
row seed=4 'failed .*: fovea: an older start$'
printf 'bash: \e]0;no\a program\n' >$list/runs-4.log
row seed=4 'failed .*: bash:  ]0;no  program$'
sums "4 failed"
submits submit
submits retry seed=1 seed=2 seed=3 seed=4

# Retried: the newer submission counts; the older one's log is not shown.
sweep retry sweep.yaml --limit 2 >said
grep -qx "job 12: 2 runs" said || fail "$(cat said)"
queue "11  2  TIMEOUT  0  None" "12  2  RUNNING  0  None"
row seed=2 'running .*job 12_2 .*0002/runs-2.log$'
row seed=1 'failed .*job 12_1 .*0002/runs-1.log$'
submits retry seed=1 seed=3 seed=4

# Without Slurm nobody knows, which is said.
mkdir none
for program in sh id sed env; do ln -s "$(command -v $program)" none; done
PATH=$folder/none "$FOVEA" sweep status sweep.yaml 2>&1 >/dev/null | grep -qF "there is no squeue here" || fail "no squeue"

# Done, with the settings of then; the file changes afterwards.
finish() { # NAME SETTING...: as a run leaves its folder
    mkdir -p "sweep/$1/model"
    echo '{}' >"sweep/$1/model/config.json"
    "$FOVEA" train --keys | sed -E 's/ +#.*//' >keys
    sed -E "s,^model:.*,model: 'm',; s,^out:.*,out: 'sweep/$1',; s,^prompts:.*,prompts: 'p',; s,^steps:.*,steps: 1,; \
        s,^( +)train:.*,\1train: 't'," keys >"sweep/$1/config.yaml"
    for setting in "${@:2}"; do sed -i "s,^${setting%%=*}:.*,${setting%%=*}: ${setting#*=}," "sweep/$1/config.yaml"; done
}
for i in 1 2 3; do finish seed=$i seed=$i; done
: >queue
sums "1 failed, 3 done"
plan 'grid: {seed: [1, 2, 3, 4]}' 'set: {steps: 2}'
row seed=1 'other settings .*: steps is 2, was 1$'
sums "1 failed, 3 other settings"
sweep submit sweep.yaml >said
grep -qF '3 runs are done with other settings than the sweep has now (seed=1: steps is 2, was 1)' said || fail "$(cat said)"
submits retry seed=1 seed=2 seed=3 seed=4
finish seed=1 seed=1 steps=2
sums "1 failed, 2 other settings, 1 done"
queue "11  4  PENDING  0  Priority"
row seed=4 'waiting .*: submitted with other settings than the sweep has now; Priority$'

# No longer in the file: told of, never submitted.
plan 'grid: {seed: [1, 7]}' 'set: {steps: 2}'
sums "1 not submitted, 1 done; 3 more no longer in the sweep"
row seed=4 'waiting .*job 11_4 .*: no longer in the sweep; Priority$'
row seed=3 'done .*: no longer in the sweep$'
submits submit seed=7
submits retry

# Refused: by its size, with the setting and the way; another submission is none.
plan 'grid: {seed: [11, 12, 13, 14, 15]}'
! sweep submit sweep.yaml >said 2>&1 || fail "more runs than an array may have"
grep -qF '5 runs are too many for one job array: MaxArraySize is 5 here; submit --limit 4, and then the others' said || fail "$(cat said)"
[ ! -e sweep/submissions/0003 ] || fail "a refused submission is left"
sums "5 not submitted; 4 more no longer in the sweep"
sweep submit sweep.yaml --limit 4 >said
grep -qx "job 13: 4 runs" said || fail "$(cat said)"
submits submit seed=15

# From elsewhere the script is found by the program's own place.
(cd "$folder/bin" && sed "s,config.yaml,$folder/&,; s,sweep,$folder/&," ../sweep.yaml >../far.yaml && "$FOVEA" sweep submit ../far.yaml --dry-run) >said
grep -qF "$root/slurm/sweep.sbatch" said || fail "$(cat said)"
# Runs here, one at a time: a sweep that is told to stop passes it on, begins no other, and goes on later.
make_run "$folder"
printf 'config: %s\nout: here\nset: {steps: 2}\ngrid: {seed: [1, 2]}\n' "$folder/config.yaml" >here.yaml
FOVEA_AT=pass:3=hold:$folder/held env --default-signal=INT,USR1 "$FOVEA" sweep run here.yaml >said 2>log &
process=$!
await $process [ -e "$folder/held" ] || fail "the first run has ended: $(cat said log here/seed=1.log)"
kill -TERM $process
await $process grep -q "info: stopping: the runs under way save and end" log || fail "it does not hear: $(cat log)"
await $process grep -q "info: stopping: what is under way" here/seed=1.log || fail "the run is not told: $(cat here/seed=1.log)"
rm "$folder/held"
status=0
wait $process || status=$?
[ $status = 75 ] || fail "a sweep that is told to stop ends with $status: $(cat said log)"
grep -q "^seed=1: stopped; run the sweep again to go on (status 75)$" said || fail "$(cat said log)"
[ ! -e here/seed=2 ] || fail "another run was begun"
sweep run here.yaml --max-parallel 2 >said 2>log || fail "$(cat said log)"
[ "$(grep -c ": done (status 0)$" said)" = 2 ] || fail "$(cat said)"
grep -q "going on" here/seed=1.log || fail "it has begun anew: $(cat here/seed=1.log)"
echo "sweep: well"
