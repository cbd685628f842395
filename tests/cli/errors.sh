#!/bin/sh
# Wrong command lines, devices, models and numbers: one line on stderr, the documented status, nothing on stdout.
. "$(dirname "$0")/lib.sh"

# ---- help
for command in "" devices doctor model fetch train eval tune; do
    # shellcheck disable=SC2086 # none or one word
    works $command --help
    check "help on stdout" grep -q '^usage: clnorm' out
    check "no word on stderr" empty err
done
works --version
check "version" grep -Eq '^clnorm [0-9]+\.[0-9]+\.[0-9]+$' out
clnorm --help
for number in 2 3 5 6 7 8 9 10 11 12 13 14 15 16 17; do
    check "exit status $number is documented" grep -Eq "^ +$number  [a-z]" out
done

# ---- commands and options
error 2 'no command'
error 2 'no command "trian".* train' trian
for command in devices doctor model fetch train eval tune; do
    error 2 "unrecognized option '--frobnicate'" $command --frobnicate
    check "the line names the command" grep -q "^clnorm $command:" err
done
error 2 surplus devices surplus
error 2 surplus doctor surplus
error 2 surplus model s8 surplus
error 2 'need a network' model --act relu
error 2 'need a network' model --batch 8
error 2 surplus fetch surplus
error 2 surplus train surplus
error 2 'one run or model' eval a b
error 2 'which run' eval
error 2 "'--norm' requires an argument" train --norm
error 2 "'--norm' requires an argument" model --norm
error 2 ambiguous train --mo s8
error 2 "no check 'frob'" doctor --only conv,frob
error 2 'list is empty' doctor --only ''
error 2 "'gpu' is neither vector nor simt" doctor --class gpu

# ---- devices
works devices
check "a device that works" grep -q 'probe ok' out
works devices --json
check "the same as JSON" grep -q '"probe": true' out
error 5 'there is no device "99"; choose one of: 0 ' train $tiny --out run --device 99
error 5 'there is no device "99"' doctor --device 99
error 5 'no device matches "abacus"; choose' train $tiny --out run --device abacus
error 5 '9:9.*choose one of' train $tiny --out run --device 9:9
CLNORM_DEVICE=abacus
export CLNORM_DEVICE
error 5 'no device matches "abacus"' train $tiny --out run
unset CLNORM_DEVICE
mkdir no-drivers
(
    OCL_ICD_VENDORS=$PWD/no-drivers
    export OCL_ICD_VENDORS
    error 5 'pocl-opencl-icd' devices
    error 5 'pocl-opencl-icd' train $tiny --out run
    echo "$checks $failed" >counts
)
read -r checks failed <counts

# ---- models and norms
# both COMMAND'S-ERROR...: the same error of `clnorm model MODEL ...` and of `clnorm train --model MODEL ...`.
both()
{
    code=$1
    text=$2
    net=$3
    shift 3
    error "$code" "$text" model "$net" "$@"
    error "$code" "$text" train --quiet --out run --model "$net" "$@"
}
both 2 "unknown model 'lenet'.* s8, s8n, s8r" lenet
both 2 "norm 'batch'.* bn, ln, gn, in, none" s8 --norm batch
both 11 's8.net:[0-9]+: .*5 groups do not divide 16 channels' s8 --norm gn --groups 5
both 9 'missing.net: No such file' missing.net
mkdir folder.net
both 9 'folder.net: Is a directory' folder.net
: >empty.net
both 11 'empty.net.*without a layer' empty.net
printf 'conv 16\nconvolve 16\n' >word.net
both 11 "word.net:2: 'convolve'.*known are conv" word.net
printf '# a comment\n\nconv 16 k=three\n' >number.net
both 11 'number.net:3: .*three' number.net
printf 'conv 16 kernel=3\n' >attribute.net
both 11 "attribute.net:1: 'kernel=3'" attribute.net
printf 'conv\377\376 \001\000 16\n' >binary.net
both 11 'binary.net:1' binary.net
printf 'conv 16\nadd nowhere\n' >label.net
both 11 'label.net:2.*nowhere' label.net
printf 'conv 16\ngap\ndense 7\n' >classes.net
both 11 'classes.net:3: .*1x1x7.*10 classes' classes.net

# ---- numbers
for value in 0 -1 x 1.5 '' 99999999999; do
    error 2 '--batch' model s8 --batch "$value"
    error 2 '--classes' model s8 --classes "$value"
    error 2 '--groups' model s8 --norm gn --groups "$value"
    error 2 'epochs' train --quiet --out run --epochs "$value"
    error 2 'batch' train --quiet --out run --batch "$value"
done
for value in 32x32 0x32x3 32x32x3x3 x -1x1x1; do
    error 2 '--input' model s8 --input "$value"
done
error 11 "does not fit an image of 1x1" model s8 --input 2x2x3
error 2 'smaller batch' model s8 --input 99999x99999x3
for pair in lr=-1 lr=nan lr=inf lr=1e400 lr=fast lr= momentum=1 momentum=-0.1 momentum=nan beta2=1 beta2=-1 \
    warmup=-0.1 warmup=1.1 weight-decay=-1 weight-decay=nan label-smoothing=1 label-smoothing=-0.1 shift=32 shift=-1 \
    shift=x seed=-1 seed=4294967296 seed=x val=2000 val=-1 limit=-1 limit=x nesterov=2 nesterov=yes \
    fuse=2 groups=-1 optimizer=adam schedule=linear flip=yes class=gpu conv=fft model= norm=; do
    error 2 "${pair%%=*}" train $tiny --out run "--${pair%%=*}" "${pair#*=}"
done
error 2 'warmup' train $tiny --out run --warmup 2 # a one-cycle rises in at most all of the run
POCL_MEMORY_LIMIT=1 # GiB; so that no machine is large enough
export POCL_MEMORY_LIMIT
error 8 'batch 65535 does not fit.*layer [0-9]+ .* MiB.*try --batch [0-9]+$' train --quiet --out run --batch 65535
works train --quiet --out fits --limit 64 --epochs 1 --batch "$(sed 's/.* //' err)"
unset POCL_MEMORY_LIMIT
error 15 'not finite at epoch 1, step [0-9]+.*layer [0-9]+ \(' train --quiet --out nan --norm none --optimizer sgd \
    --lr 1000 --epochs 1 --limit 1024
check "a diverged run is not finished" no test -e nan/summary.json
printf 'conv 8 k=3\ngap\n$norm\nconv $classes k=1 bias=1\n' >pixel.net
error 11 'last batch of 65 images has one image' train --quiet --norm bn --model ./pixel.net --limit 65 --batch 64 --out run
works train --quiet --norm bn --model ./pixel.net --limit 66 --batch 64 --epochs 1 --out pixel
error 2 'not UTF-8' train --quiet --out run --model "$(printf 'gr\366\337e.net')"
error 2 'path of the network holds a control character' train --quiet --out run --model "$(printf './a\tb.net')"

# ---- nothing came of all that
check "a run that never began leaves no results" no test -e run/config.json

# ---- fetch
error 2 'http' fetch --dir f --url ftp://127.0.0.1/x
error 2 'http' fetch --dir f --url file:///etc/passwd
error 2 'MD5' fetch --dir f --url http://127.0.0.1:1/x --md5 12
error 16 '127.0.0.1:1/x: ' fetch --dir f --url http://127.0.0.1:1/x
: >file
error 9 'file' fetch --dir file/f --url http://127.0.0.1:1/x

# ---- a full disk behind stdout
if [ -w /dev/full ]; then
    for arguments in "model s8" "devices" "--help" "model s8 --json"; do
        last="clnorm $arguments >/dev/full"
        # shellcheck disable=SC2086 # two words
        "$program" $arguments >/dev/full 2>err
        status=$?
        check "status 9 expected" [ "$status" -eq 9 ]
        check "one line on stderr expected" one_line err
    done
    # An error of its own, behind a table: the output's is not told as well.
    last="clnorm model s8 --device 99 >/dev/full"
    "$program" model s8 --device 99 >/dev/full 2>err
    status=$?
    check "status 5 expected" [ "$status" -eq 5 ]
    check "one line on stderr expected" one_line err
fi
finish
