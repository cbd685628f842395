#!/bin/sh
# clnorm doctor and the check at a device's first use: a device that works passes, and a kernel that computes wrongly
# ($CLNORM_CL_DIR: copies of the kernels, one of them broken) is found, named, and not trained with.
kernels=$(cd "$(dirname "$0")/../../cl" && pwd)
. "$(dirname "$0")/lib.sh"

row() { grep -Eq "^$1 +$2 .* $3\$" out; }
passes() { row "$1" "$2" ok; }
remembered() { grep -la 'passed the check at its first use$' "$CLNORM_CACHE_DIR"/*.bin 2>/dev/null | wc -l; }
one="--quiet --limit 64 --batch 32 --epochs 1 --overwrite"

# ---- a device that works
works doctor --json good.json
check "nothing failed" grep -q ' 0 failed, ' out
check "the verdict" grep -q '^this device computes what it should$' out
for class in vector simt; do
    for op in conv dense bn ln gn in none relu maxpool avgpool gap add dropout loss sgd adamw network; do
        check "$op ($class) is checked" passes $op $class
    done
done
check "limits are checked" passes limits ''
check "memory is checked" passes memory ''
check "training is checked" passes training auto
check "JSON" grep -q '"passed": true' good.json
check "JSON has a row for each" [ "$(grep -c '"outcome": "ok"' good.json)" -ge 37 ]
last="clnorm doctor --only gap --json nowhere/x.json"
clnorm doctor --only gap --class vector --json nowhere/x.json
check "a file that cannot be written is status 9" [ "$status" -eq 9 ]
check "--only and --class leave one check" grep -q '^1 checks ' out
clnorm doctor --only training --cases small
check "nothing to check is no success" [ "$status" -ne 0 ]
check "it says so" grep -q '^nothing was checked: ' out
error 2 'the list is empty' doctor --only ,

# ---- kernels that compute wrongly
# break_kernel FILE EDIT: CLNORM_CL_DIR becomes a copy of the kernels with that sed script done to FILE.
break_kernel()
{
    rm -rf cl
    cp -r "$kernels" cl
    sed "$2" "$kernels/$1" >"cl/$1"
    check "the edit changes $1: $2" no cmp -s "$kernels/$1" "cl/$1"
    CLNORM_CL_DIR=$PWD/cl
    export CLNORM_CL_DIR
}

# finds OP INNOCENT: clnorm doctor must blame OP alone of the two.
finds()
{
    clnorm doctor --class vector --only "$1,$2" --json bad.json
    check "status 5 expected" [ "$status" -eq 5 ]
    check "$1 is blamed" row "$1" vector FAILED
    check "the list names $1 alone" grep -Eq "^FAILED: $1 \(vector\)(, $1 \(winograd\))?\$" out
    check "$2 is not blamed" passes "$2" vector
    check "advice" grep -Eq 'do not train (on it|with them)' out
    check "JSON says so" grep -q '"passed": false' bad.json
}

# refuses PATTERN ARGUMENT...: clnorm train must refuse the device with one line that matches, and leave no run.
refuses()
{
    pattern=$1
    shift
    rm -rf run
    # shellcheck disable=SC2086 # words
    error 5 "computes wrongly: $pattern.*clnorm doctor --device [0-9]+.*--allow-failing-device" train $one --out run "$@"
    check "nothing was trained" no test -e run/config.json
}

break_kernel norm.cl 's|1.0f / sqrt(m2 / count + eps)|1.0f / (sqrt(m2 / count) + eps)|' # eps in the wrong place
finds bn ln
break_kernel norm.cl '/^kernel void norm_bwd_params/,/^}/ s|t2 += V|t2 = V|' # the last strip wins
finds gn relu
break_kernel norm_simt.cl 's|part\[p\] += part\[p + step\]|part[p] = part[p + step]|' # the last part wins
clnorm doctor --class simt --only ln,relu
check "ln is blamed" row ln simt FAILED
check "and not relu" passes relu simt
break_kernel norm.cl '/^kernel void norm_fwd_apply_pool/,/^}/ s|stage_pool(u0, u1, u2, u3, lo)|stage_pool(u0, u1, u2, u2, lo)|' # a pixel is not seen
finds in add
refuses 'a network with ln .*layer 1 \(ln\+silu\+maxpool\): y is off' --norm ln
break_kernel optim.cl 's|momentum \* m\[i\] + g\[i\]|g[i] - momentum * m[i]|' # the sign of the momentum
finds sgd adamw
refuses 'sgd with Nesterov.*: weights is off' --norm bn --optimizer sgd
break_kernel muon.cl 's|+ 2.0315f|- 2.0315f|' # the sign of a coefficient
finds muon sgd
refuses 'muon: weights is off' --norm bn
break_kernel loss.cl '/const float t = / s|smoothing / K|smoothing / (K - 1)|' # smoothing over the other classes
finds loss gap
refuses 'loss of logits.*dlogits is off' --norm ln
# shellcheck disable=SC2086 # words
works train $one --norm ln --out allowed --allow-failing-device
check "it warns" grep -q '^clnorm: warning: device .* computes wrongly: loss of logits' err
check "it trained" test -e allowed/summary.json
refuses 'loss of logits' --norm ln # and it was not remembered as good
break_kernel pool.cl 's/wins &= (q <= v)/wins \&= (q < v)/' # equal values: nobody wins
finds maxpool avgpool
break_kernel point.cl 's|VLOAD(x0 + i) + VLOAD(x1 + i)|VLOAD(x0 + i) - VLOAD(x1 + i)|'
finds add dropout
refuses "'add'.*: y is off" --norm ln --model s8r
break_kernel conv_vector.cl 's|ky1 = min(d.ih - iy0, taps)|ky1 = min(d.ih - iy0 - 1, taps)|' # the last row is not seen
finds conv gap
refuses '.*layer 0 \(conv\): y is off' --norm ln
break_kernel winograd.h 's|P1 \* po + Q1 \* qo;|P1 * po - Q1 * qo;|' # a point has the wrong sign
clnorm doctor --only conv --json bad.json
check "conv is blamed for winograd" row conv winograd FAILED
check "and not for direct tiles" passes conv vector
check "advice" grep -q 'train with --conv vector$' out
refuses '.*layer [0-9]+ \(conv\): y is off' --norm ln
break_kernel conv_parts.h '/^kernel void conv_bwd_params_sum/,/^}/ s|s += VLOAD|s = VLOAD|' # one partial sum wins
finds conv gap
break_kernel pool.cl 's|^kernel void pool_fwd_gap|kernel vacuum pool_fwd_gap|' # does not compile
clnorm doctor --class vector --only gap,loss
check "status 5 expected" [ "$status" -eq 5 ]
check "a kernel that does not compile is shown" grep -q 'stages.cl .*does not build' out # pool.cl is a part of it
check "the others are checked all the same" passes loss vector

# ---- what is remembered, and what is not
CLNORM_CACHE_DIR=$PWD/remembered # nobody else's
break_kernel loss.cl "1 s|^|/* $$ */ |" # harmless, but a source that no run has seen
before=$(remembered)
# shellcheck disable=SC2086 # words
works train $one --norm ln --out run
check "success is remembered" [ "$(remembered)" -eq $((before + 1)) ]
# shellcheck disable=SC2086 # words
works train $one --norm ln --out run
check "once" [ "$(remembered)" -eq $((before + 1)) ]
unset CLNORM_CL_DIR
CLNORM_CACHE_DIR=/proc/nowhere
# shellcheck disable=SC2086 # words
works train $one --norm ln --out run
finish
