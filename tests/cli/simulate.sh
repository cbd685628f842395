#!/bin/sh
# Training on a device that pretends to be smaller (CLNORM_SIMULATE): it works, it shows in all that a run leaves, and it
# does not mix with runs on the device as it is. (tests/test_simulate.c holds layers,
# networks and training against references.)
. "$(dirname "$0")/lib.sh"

printf 'conv 8 k=3\n$norm\nrelu\nconv $classes k=1 bias=1\ngap\n' >tiny.net
run="train --quiet --model tiny.net --norm bn --limit 40 --batch 16 --val 16 --epochs 2"
losses() { sed 's/, "images_per_second.*//' "$1/metrics.jsonl"; }

unset CLNORM_SIMULATE
works $run --out real
check "nothing of a simulation in a real run" no grep -q simulated real/config.json real/summary.json

export CLNORM_SIMULATE=workgroup=64,local=4096,alloc=8M,align=4K
works devices
check "the list of devices says what is simulated" grep -q "^0 .* (simulated: workgroup=64,.*align=4096)" out
works devices --json
check "as JSON, too" grep -q '"simulated": "workgroup=64,local=4096,alloc=8388608,align=4096"' out
works $run --out small
check "the same losses: these limits choose no other kernels" [ "$(losses small)" = "$(losses real)" ]
check "config.json says what is simulated" grep -q '"simulated": "workgroup=64,' small/config.json
check "and so does the summary" grep -q '"device": ".* (simulated: workgroup=64,' small/summary.json

# ---- limits that are wrong
export CLNORM_SIMULATE=width=3
error 2 "CLNORM_SIMULATE: 'width=3': width is 1, 2, 4, 8 or 16" $run --out wrong
error 2 "CLNORM_SIMULATE" devices

# ---- a run goes on only under the limits that it was begun with
for dir in real small; do
    mkdir "half-$dir"
    cp "$dir/config.json" "$dir/checkpoint.safetensors" "$dir/metrics.jsonl" "half-$dir"
done
export CLNORM_SIMULATE=workgroup=128
error 12 "belongs to another run" train --quiet --resume half-real
unset CLNORM_SIMULATE
error 12 "belongs to another run" train --quiet --resume half-small
works train --quiet --resume half-real
check "the same weights" [ "$(sha half-real)" = "$(sha real)" ]

finish
