#!/bin/sh
# clnorm eval of files that do not tell their network, and the logits that it writes.
. "$(dirname "$0")/lib.sh"

# safetensors FILE HEADER BYTES: so many zeros behind a header of less than 256 bytes
safetensors()
{
    printf '%b' "\\0$(printf '%o' ${#2})" '\0000\0000\0000\0000\0000\0000\0000' >"$1"
    printf '%s' "$2" >>"$1"
    head -c "$3" /dev/zero >>"$1"
}
printf 'gap\nconv $classes k=1 bias=1\n' >line.net
weight='"1.weight":{"dtype":"F32","shape":[10,3,1,1],"data_offsets":[0,120]}'
bias='"1.bias":{"dtype":"F32","shape":[10],"data_offsets":[120,160]}'
safetensors plain.safetensors "{$weight,$bias}" 160
told="--model ./line.net --norm ln"

# ---- all logits are 0: ten classes alike
works eval plain.safetensors $told --logits logits.npy
check "the loss of ten classes alike" grep -q 'line, ln: test accuracy .* loss 2.3026, 500 images' out
check "NumPy's format" [ "$(head -c 6 logits.npy | tail -c 5)" = NUMPY ]
check "shape and type" grep -aq "{'descr': '<f4', 'fortran_order': False, 'shape': (500, 10), } *$" logits.npy
check "500 rows of 10 floats" [ "$(wc -c <logits.npy)" -eq $((128 + 4 * 500 * 10)) ]
check "zeros" [ -z "$(tail -c 20000 logits.npy | tr -d '\000')" ]

# ---- what does not fit, in a line that names it
error 12 'plain.safetensors: .*not a model that clnorm exported; for weights from PyTorch give --model and --norm' \
    eval plain.safetensors
error 2 '--model and --norm go together' eval plain.safetensors --model ./line.net
error 2 '--model and --norm go together' eval plain.safetensors --norm ln
error 2 '--model and --norm go together' eval plain.safetensors --groups 4
error 2 "unknown norm 'batch'" eval plain.safetensors --model s8 --norm batch
error 2 "groups: 'x'" eval plain.safetensors --model s8 --norm gn --groups x
error 2 '--model and --norm go together' eval plain.safetensors --act relu
error 2 "act: 'tanh'" eval plain.safetensors --model s8 --norm gn --act tanh
error 2 'act: .*line.net has no line \$act that could be gelu' eval plain.safetensors $told --act gelu
printf 'gap\nconv $classes k=1 bias=1\ngap\nconv $classes k=1 bias=1\n' >longer.net
works eval plain.safetensors $told # so that no notice of compiling stands before the errors
counter='"9.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[160,168]}'
safetensors counted.safetensors "{$weight,$bias,$counter}" 168
works eval counted.safetensors $told
surplus='"2.bias":{"dtype":"F32","shape":[2],"data_offsets":[160,168]}'
safetensors surplus.safetensors "{$weight,$bias,$surplus}" 168
error 12 "surplus.safetensors.*: line with ln has no '2.bias'" eval surplus.safetensors $told
safetensors missing.safetensors "{$weight}" 120
error 12 "missing.safetensors.*it has no '1.bias'" eval missing.safetensors $told
safetensors shape.safetensors "{\"1.bias\":{\"dtype\":\"F32\",\"shape\":[5,2],\"data_offsets\":[120,160]},$weight}" 160
error 12 "shape.safetensors.*'1.bias' is F32 5x2 there, not F32 10" eval shape.safetensors $told
safetensors type.safetensors "{\"1.weight\":{\"dtype\":\"F16\",\"shape\":[10,3,1,1],\"data_offsets\":[0,60]}}" 60
error 12 "type.safetensors.*'1.weight': its type is none of F32" eval type.safetensors $told
clnorm eval plain.safetensors --model ./longer.net --norm ln
check "status 12 expected" [ "$status" -eq 12 ]
check "the network that was named is longer" grep -q "it has no '3.weight' (F32 10x10x1x1)" err
error 9 'nowhere/logits.npy' eval plain.safetensors $told --logits nowhere/logits.npy

# ---- a file of clnorm's needs none of that
works train --quiet --model ./line.net --norm ln --limit 64 --epochs 1 --out run
works eval run --logits run.npy
check "other logits" no cmp -s run.npy logits.npy
error 2 'run tells its network itself' eval run $told

# ---- what does not tell gets the network that clnorm train makes of the same names
# stripped FILE OUT: the same tensors without what a header of less than 64 KiB says beside them
stripped()
{
    size=$(head -c 2 "$1" | od -An -tu2 | tr -d ' ')
    header=$(head -c $((8 + size)) "$1" | tail -c +9 | sed 's/"__metadata__":{[^}]*},\{0,1\}//')
    printf '%b' "\\0$(printf '%o' $((${#header} % 256)))\\0$(printf '%o' $((${#header} / 256)))" '\0000\0000\0000\0000\0000\0000' >"$2"
    printf '%s' "$header" >>"$2"
    tail -c +$((9 + size)) "$1" >>"$2"
}
printf 'conv 4 k=3\n$norm\n$act\ngap\nconv $classes k=1 bias=1\n' >act.net
for settings in "" "--act gelu" "--ws 1"; do
    # shellcheck disable=SC2086 # words
    works train --quiet --model ./act.net --norm gn --groups 2 --limit 64 --epochs 1 --out acts $settings --overwrite
    works eval acts
    cp out acts.txt
    stripped acts/model.safetensors acts.safetensors
    # shellcheck disable=SC2086 # words
    works eval acts.safetensors --model ./act.net --norm gn --groups 2 $settings
    check "the same figures (${settings:-defaults})" cmp -s out acts.txt
done
works eval acts.safetensors --model ./act.net --norm gn --groups 2 --act relu
check "another activation, other figures" no cmp -s out acts.txt
finish
