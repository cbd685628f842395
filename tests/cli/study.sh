#!/bin/sh
# Studies: what they leave, that runs which are done stay, and that one that was killed at any moment and started again
# ends with the figures of one that was not.
. "$(dirname "$0")/lib.sh"

small="--limit 256 --epochs 2 --batches 64 --seeds 2"
runs="s8n-bn-b64-s1 s8n-bn-b64-s2 s8n-gn4-b64-s1 s8n-gn4-b64-s2 s8n-ln-b64-s1 s8n-ln-b64-s2"
listing() { find "$1/$2" -mindepth 1 -maxdepth 1 ! -name .lock | sed 's,.*/,,' | sort | tr '\n' ' '; }
count_done() { find "$1" -name summary.json 2>/dev/null | wc -l; }
at_least_done() { [ "$(count_done "$1")" -ge "$2" ]; }
figures() { sed 's/"images_per_second.*//' "$1/$2/metrics.jsonl"; grep -v 'second' "$1/$2/summary.json"; cat "$1/$2/outcome.json"; }

# ---- a plan alone
works study $small --plan --out nothing
check "--plan: the runs and their time" grep -q '^  s8n-gn4-b64  .* 2 seeds, 2 epochs, muon, lr .*, about [0-9:]* each$' out
check "--plan: the time of all" grep -q '^about [0-9:]* to go, [0-9]* runs* at a time$' out
check "--plan leaves nothing" no test -e nothing
printf 'conv 8 k=3\n$norm\nrelu\ngap\nconv $classes k=1 bias=1\n' >small.net
works study $small --models ./small.net --plan
check "the folder of a file has its name" grep -q '^studies/small: ' out

# ---- undisturbed, one run at a time
works study $small --jobs 1 --out whole
check "a line a run" [ "$(grep -c '^ *[1-6]/6  s8n-.* train .* test .* images/s .* left)$' out)" -eq 6 ]
check "norms take turns" [ "$(sed -n 's,^ *[1-6]/6  s8n-\([a-z]*\).*,\1,p' out | tr '\n' ' ')" = "bn ln gn bn ln gn " ]
check "no bar without a terminal" no grep -q "$(printf '\r')" err
check "a folder a run and study.json" [ "$(listing . whole)" = "$runs study.json " ]
for run in $runs; do
    check "$run: JSON alone" [ "$(listing whole "$run")" = "config.json metrics.jsonl outcome.json summary.json " ]
done
works train --quiet --limit 256 --epochs 2 --norm bn --seed 2 --batch 64 --lr 0.0282843 --out alone
check "a run of a study is that of clnorm train" [ "$(sha alone)" = "$(sha whole/s8n-bn-b64-s2)" ]
check "what the network makes of the test set, too" cmp alone/outcome.json whole/s8n-bn-b64-s2/outcome.json
before=$(find whole -type f ! -name .lock -exec ls -l --time-style=full-iso {} +)
works study $small --quiet --jobs 3 --out whole
check "what is done is not done again" [ "$(find whole -type f ! -name .lock -exec ls -l --time-style=full-iso {} +)" = "$before" ]

# ---- several at a time
works study $small --jobs 2 --out two
check "two at a time: a line a run" [ "$(grep -c '^ *[1-6]/6  s8n-.* train .* test .* images/s .* left)$' out)" -eq 6 ]
check "two at a time: the same folder" [ "$(listing . two)" = "$runs study.json " ]
for run in $runs; do
    figures whole "$run" >whole.txt
    figures two "$run" >two.txt
    check "$run: two at a time: the same figures" cmp whole.txt two.txt
done
works report two
check "the report says what part of the device a run had" grep -Eq "Each run had [0-9]+ compute units? of the device" two/report.md

# ---- the last of three, two at a time, goes on with the other's cores
units() { sed -n 's/.*"compute_units": \([0-9]*\).*/\1/p' "$1/config.json"; }
if [ "$(units whole/s8n-bn-b64-s1)" -ge 2 ] && [ "$(units two/s8n-bn-b64-s1)" -lt "$(units whole/s8n-bn-b64-s1)" ]; then
    epochs=$(awk '/"seconds"/ { gsub(/[^0-9.]/, "", $2); n = 20 / $2; printf "%d", n < 2 ? 2 : n }' two/s8n-gn4-b64-s1/summary.json) # 10 s
    works study --limit 256 --epochs "$epochs" --batches 64 --norms gn --seeds 3 --jobs 2 --out three
    check "three, two at a time: all are done" at_least_done three 3
    check "three, two at a time: two had one part from beginning to end" [ "$(units three/s8n-gn4-b64-s1)" -ge 1 ]
    check "three, two at a time: the last went on with more" [ "$(units three/s8n-gn4-b64-s3)" -eq 0 ]
    works train --quiet --limit 256 --epochs "$epochs" --norm gn --batch 64 --seed 3 --lr 0.0282843 --out last
    check "three, two at a time: its weights are those of one run" [ "$(sha last)" = "$(sha three/s8n-gn4-b64-s3)" ]
    works report three
    check "three, two at a time: its time does not count" grep -q '1 run that had another part of it.* is left out' three/report.md
fi

start study $small --jobs 2 --limit 4096 --out orphans
check "two at a time are under way" wait_for 60 test -e orphans/s8n-ln-b64-s1/config.json
members=$(pgrep -P "$process" | tr '\n' ' ')
check "a process each" [ "$(echo "$members" | wc -w)" -eq 2 ]
kill -KILL "${members%% *}"
ended
check "one of them killed: status 17" [ "$status" -eq 17 ]
check "one of them killed: it says so" grep -q 'was ended by signal 9 .*the same command goes on' err
works study $small --jobs 2 --limit 4096 --out orphans
check "it goes on" at_least_done orphans 6
rm -rf orphans
start study $small --jobs 2 --limit 4096 --out orphans
two_members() { [ "$(pgrep -P "$process" | wc -w)" -eq 2 ]; }
check "two again" wait_for 60 two_members
members=$(pgrep -P "$process" | tr '\n' ' ')
kill -KILL "$process"
ended
nobody() { for member in $members; do ! kill -0 "$member" 2>/dev/null || return 1; done; }
check "nobody outlives the process that started it" wait_for 5 nobody
rm -rf orphans

# ---- killed at random moments
seed=$$
starts=0
kills=0
while [ $starts -lt 5 ] && ! at_least_done killed 6; do
    start study $small --quiet --out killed
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    sleep "$(awk -v r=$seed 'BEGIN { printf "%.2f", 0.3 + 1.2 * r / 2147483648 }')"
    kill -KILL "$process" 2>/dev/null
    ended
    starts=$((starts + 1))
    [ "$status" -ne 137 ] || kills=$((kills + 1))
done
start study $small --quiet --out killed
check "runs get done between kills" wait_for 60 at_least_done killed 1
kill -KILL "$process"
ended
[ "$status" -ne 137 ] || kills=$((kills + 1))
check "killed at least once in its midst" [ "$kills" -ge 1 ]
works study $small --quiet --out killed
check "killed: nothing is left behind" [ "$(listing . killed)" = "$runs study.json " ]
for run in $runs; do
    check "$run: killed (seed $$): JSON alone" [ "$(listing killed "$run")" = "config.json metrics.jsonl outcome.json summary.json " ]
    figures whole "$run" >whole.txt
    figures killed "$run" >killed.txt
    check "$run: killed (seed $$): the same figures" cmp whole.txt killed.txt
done

# ---- stopped: runs long enough to be met in their midst
long="--limit 1024 --epochs 8 --batches 64 --seeds 2"
start study $long --quiet --out stopped
check "one run is done" wait_for 60 at_least_done stopped 1
error 13 'another process .* is training into stopped: ' study $long --quiet --out stopped
kill -INT "$process"
ended
check "Ctrl-C: status 130" [ "$status" -eq 130 ]
check "Ctrl-C: it says how to go on" grep -q 'The same command goes on' err
check "Ctrl-C: before the end" no at_least_done stopped 6

# ---- what is refused
error 14 'whole holds a study with other settings: seeds \(2 there, 3 here\); choose another --out' \
    study --quiet --limit 256 --epochs 2 --batches 64 --seeds 3 --out whole
error 14 'recipes bn epochs \(2 there, 1 here\)' study --quiet $small --epochs 1 --out whole
error 14 'norms' study --quiet $small --norms bn,ln --out whole
cp -r whole damaged
head -c 300 whole/study.json >damaged/study.json
error 10 'damaged/study.json' study --quiet $small --out damaged
cp whole/study.json damaged/
head -c 100 whole/s8n-ln-b64-s1/summary.json >damaged/s8n-ln-b64-s1/summary.json
error 10 'damaged/s8n-ln-b64-s1/summary.json' study --quiet $small --out damaged
cp -r whole/s8n-ln-b64-s2/. damaged/s8n-ln-b64-s1/
error 14 'damaged/s8n-ln-b64-s1 holds a finished run with other settings: seed \(2 there, 1 here\); remove it' \
    study --quiet $small --out damaged
rm damaged/s8n-ln-b64-s1/summary.json damaged/s8n-ln-b64-s1/outcome.json
cp whole/s8n-ln-b64-s1/config.json damaged/s8n-ln-b64-s1/
works study --quiet $small --out damaged
check "a run whose checkpoint is lost begins again" [ "$(sha damaged/s8n-ln-b64-s1)" = "$(sha whole/s8n-ln-b64-s1)" ]
error 2 'there is no --seed: --seeds N' study --plan --seed 7
error 2 'lstm.*is not a norm' study --plan --norms bn,lstm
error 2 "jobs: '65'" study --plan --jobs 65
error 2 "seeds: '0'" study --plan --seeds 0
error 2 'models' study --plan --models s8,
error 2 'batches: 64 is there twice' study --plan --batches 64,64
error 2 'epochs is 0: it must be from 1' study --epochs 0 --out never
error 2 'lr is nan: it must be from 0' study --lr nan --out never
error 2 'val is 60000: it must be from 0' study --val 60000 --out never
check "settings that cannot be trained with leave nothing" no test -e never
error 2 'two models have one name' study --plan --models s8,s8
error 11 'do not divide' study --plan --quiet --groups 4,5
error 2 'unrecognized option' study --plan --norms bn --lrr 3
error 9 nowhere study --plan --quiet --data nowhere
finish
