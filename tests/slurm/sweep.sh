#!/usr/bin/env bash
# A sweep as a job array: six runs, two at a time; submitted again it does nothing; one value more adds its runs
# only; what failed is retried; the same sweep without Slurm.
. "$(dirname "$0")/common"
make_run $work

sweep() { "$FOVEA" sweep "$@" 2>&1; }
plan() { # RATES
    cat >$work/sweep.yaml <<END
config: $work/config.yaml
out: $work/sweep
set: {steps: 2}
grid:
  optimizer.rate: [$1]
  seed: [1, 2, 3]
END
}
submitted() { # ARGUMENT...: its job is in $job
    sweep "$@" >$work/answer || fail "$(cat $work/answer)"
    job=$(sed -n 's/^job \([0-9]*\):.*/\1/p' $work/answer)
}
queue_is_empty() { [ -z "$(squeue -h)" ]; }
most_at_once() { # how many tasks of the job run together, while it lasts
    local most=0 n
    until job_ended "$job"; do
        n=$(squeue -h -r -j "$job" -t RUNNING -o %i | wc -l)
        [ "$n" -le "$most" ] || most=$n
        sleep 0.1
    done
    echo "$most"
}

plan "1e-4, 2e-4"
[ "$(sweep plan $work/sweep.yaml | tail -1)" = "6 runs" ] || fail "plan"
sweep submit $work/sweep.yaml --max-parallel 2 --dry-run -- --time=5 >$work/answer
grep -q "^sbatch --parsable --array=1-6%2 .*'--time=5' " $work/answer || fail "dry run: $(cat $work/answer)"
[ ! -e $work/sweep ] || fail "a dry run left a folder"

submitted submit $work/sweep.yaml --max-parallel 2
[ "$(most_at_once)" = 2 ] || fail "not two at a time"
ends "$job" COMPLETED 90 $work/sweep/submissions/0001/runs-1.log
sweep status $work/sweep.yaml | tail -1 | grep -qx "6 done" || fail "$(sweep status $work/sweep.yaml)"
sweep collect $work/sweep.yaml >$work/table
[ "$(grep -c '^rate=.* done  *2 ' $work/table)" = 6 ] || fail "not six rows: $(cat $work/table)"
[ "$(wc -l <$work/sweep/results.csv)" = 7 ] || fail "no whole CSV"
[ "$(cut -d, -f3 $work/sweep/results.csv | sort -u | tr '\n' ' ')" = "0.0001 0.0002 optimizer.rate " ] ||
    fail "$(head -3 $work/sweep/results.csv)"
sort -c -s -g -r -k 4,4 <(sed -n '2,7p' $work/table | tr -s ' ') || fail "not the best first: $(cat $work/table)"

before=$(find $work/sweep -type f | grep -v results | xargs stat -c '%n %y' | sort)
submitted submit $work/sweep.yaml
[ -z "$job" ] && grep -q "nothing to do" $work/answer || fail "submitted again: $(cat $work/answer)"
plan "1e-4, 2e-4, 1e-3"
submitted submit $work/sweep.yaml
grep -q ": 3 runs$" $work/answer || fail "grown: $(cat $work/answer)"
submitted_twice=$(sweep submit $work/sweep.yaml)
[[ $submitted_twice = "nothing to do"* ]] || fail "runs that wait were submitted again: $submitted_twice"
until_true 60 queue_is_empty || fail "$(squeue)"
sweep status $work/sweep.yaml | tail -1 | grep -qx "9 done" || fail "$(sweep status $work/sweep.yaml)"
after=$(echo "$before" | cut -d' ' -f1 | xargs stat -c '%n %y' | sort)
[ "$before" = "$after" ] || fail "runs that were done were touched: $(diff <(echo "$before") <(echo "$after"))"

rm -r $work/sweep/rate=0.001_seed=2/model
sweep status $work/sweep.yaml | grep -q "^rate=0.001_seed=2  *failed" || fail "a run without a model has not failed"
plan "1e-4, 2e-4, 1e-3, 1e-2"
sweep retry $work/sweep.yaml --dry-run | grep -q -- "--array=1-1 " || fail "not the failed one alone is retried"

sed -i "s/sweep$/local/; s/optimizer.rate.*/optimizer.rate: [1e-3]/" $work/sweep.yaml
sweep run $work/sweep.yaml --max-parallel 2 >$work/answer || fail "$(cat $work/answer)"
[ "$(grep -c ": done " $work/answer)" = 3 ] || fail "here: $(cat $work/answer)"
cmp $work/local/rate=0.001_seed=3/model/model.safetensors $work/sweep/rate=0.001_seed=3/model/model.safetensors ||
    fail "other weights without Slurm"
echo "sweep: well"
