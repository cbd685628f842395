#!/bin/sh
# Interrupted runs: killed at any time or stopped by a signal and resumed, they end with the weights of an undisturbed
# run; and a checkpoint that is damaged or another run's is refused before anything changes.
. "$(dirname "$0")/lib.sh"

many="--quiet --model s8 --norm bn --limit 300 --epochs 12 --batch 64" # 300 images: the last batch is a partial one
whole_lines() { [ "$(grep -c '^{.*}$' "$1")" -eq "$2" ]; }
without_times() { sed 's/"images_per_second.*//' "$1"; }

works train $many --out whole

# ---- SIGKILL, after the 3rd epoch and again after the 7th
start train $many --out killed
check "3 epochs done" wait_for 60 at_least_lines 3 killed/metrics.jsonl
kill -KILL "$process"
ended
check "killed before its end" no test -e killed/summary.json
start train --quiet --resume killed
check "7 epochs done" wait_for 60 at_least_lines 7 killed/metrics.jsonl
kill -KILL "$process"
ended
check "killed before its end" no test -e killed/summary.json
: >killed/.checkpoint.safetensors.1-0.tmp # what a process that died while it wrote leaves
printf '{"epoch": 9' >>killed/metrics.jsonl
works train --quiet --resume killed
check "killed twice and resumed: the same weights" [ "$(sha killed)" = "$(sha whole)" ]
check "a line an epoch, none twice" whole_lines killed/metrics.jsonl 12
without_times whole/metrics.jsonl >whole.txt
without_times killed/metrics.jsonl >killed.txt
check "the same losses and accuracies" cmp whole.txt killed.txt
check "no temporary file is left" no test -e killed/.checkpoint.safetensors.1-0.tmp

# ---- Ctrl-C and SIGTERM: the step is finished, the state saved
for signal in INT TERM; do
    start train ${many#--quiet } --out "stopped-$signal"
    check "2 epochs done" wait_for 60 at_least_lines 2 "stopped-$signal/metrics.jsonl"
    kill -s $signal "$process"
    ended
    check "$signal: status 130, as documented" [ "$status" -eq 130 ]
    check "$signal: it says how to go on" grep -q "clnorm train --resume stopped-$signal" err
    check "$signal: stopped before its end" no test -e "stopped-$signal/summary.json"
    works train --quiet --resume "stopped-$signal"
    check "$signal: the same weights" [ "$(sha "stopped-$signal")" = "$(sha whole)" ]
    check "$signal: a line an epoch, none twice" whole_lines "stopped-$signal/metrics.jsonl" 12
done
start train $many --epochs 300 --out twice
check "1 epoch done" wait_for 60 at_least_lines 1 twice/metrics.jsonl
kill -s INT "$process"
sleep 0.2
kill -s INT "$process"
ended
check "two signals: status 130" [ "$status" -eq 130 ]
start train ${many#--quiet } --epochs 300 --out at-once
check "1 epoch done" wait_for 60 at_least_lines 1 at-once/metrics.jsonl
kill -s TERM "$process"
kill -s INT "$process"
ended
check "two at once are one, as timeout sends them: the state is saved" grep -q 'clnorm train --resume at-once' err

# ---- what cannot be resumed
stop_early() # DIR ARGUMENT...: a run of one epoch's checkpoint
{
    dir=$1
    shift
    start train --quiet --model s8 --limit 256 --epochs 300 --batch 64 --out "$dir" "$@"
    check "$dir: 1 epoch done" wait_for 60 test -s "$dir/checkpoint.safetensors"
    kill -KILL "$process"
    ended
}
stop_early bn --norm bn
stop_early gn --norm gn
refuse() # STATUS PATTERN: the damaged copy of bn is refused, and stays as it is
{
    before=$(sums damaged | grep -v '\.lock')
    error "$1" "$2" train --quiet --resume damaged
    check "a refused run stays as it is" [ "$(sums damaged | grep -v '\.lock')" = "$before" ]
    rm -rf damaged
    cp -r bn damaged
}
cp -r bn damaged
cp gn/checkpoint.safetensors damaged/
refuse 12 'damaged/checkpoint.safetensors'
size=$(wc -c <bn/checkpoint.safetensors)
for bytes in 0 7 100 $((size / 2)) $((size - 1)); do
    head -c "$bytes" bn/checkpoint.safetensors >damaged/checkpoint.safetensors
    refuse 12 'damaged/checkpoint.safetensors'
done
echo >>damaged/checkpoint.safetensors
refuse 12 'damaged/checkpoint.safetensors'
: >damaged/config.json
refuse 12 'damaged/config.json'
head -c 200 bn/config.json >damaged/config.json
refuse 12 'damaged/config.json'
sed 's/"batch": 64/"batch": "many"/' bn/config.json >damaged/config.json
refuse 12 'batch'
sed 's/"batch": 64/"batch": 32/' bn/config.json >damaged/config.json
refuse 12 'damaged/checkpoint.safetensors'
sed 's/"seed": 1/"seed": 2/' bn/config.json >damaged/config.json
refuse 12 'damaged/checkpoint.safetensors'
sed 's/"model": "s8"/"model": "s8r"/' bn/config.json >damaged/config.json
refuse 12 'damaged/checkpoint.safetensors'
printf 'no line of metrics\n' >damaged/metrics.jsonl
refuse 10 'metrics.jsonl'
: >damaged/metrics.jsonl
refuse 12 'metrics.jsonl'
cat bn/metrics.jsonl bn/metrics.jsonl >damaged/metrics.jsonl # more than a run has before its first checkpoint
rm damaged/checkpoint.safetensors
refuse 12 'no checkpoint.safetensors'
rm damaged/config.json
refuse 9 'damaged/config.json'
error 9 'nowhere' train --quiet --resume nowhere
error 2 'own settings' train --resume bn --lr 0.1
error 2 'own settings' train --resume bn --overwrite
error 2 'own settings' train --resume bn --out other

# ---- other data
mkdir other
for file in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
    for label in 000 001 002 003 004 005 006 007 010 011; do
        printf '%b' "\\0$label" && head -c 3072 /dev/zero | tr '\000' "\\$label"
    done >other/$file.bin
done
error 12 'data' train --quiet --resume bn --data other
finish
