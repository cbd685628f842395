#!/bin/sh
# Every exit status that `clnorm --help` lists, which it does from the table of error codes, is reached here by a fault of
# its kind: a code that is added to the table and has no reach_STATUS below fails. What only a driver can cause comes from
# the layer.
. "$(dirname "$0")/lib.sh"
[ "$layer" != - ] || skip "there is no layer that injects OpenCL faults here"
shim=- # not needed
train="train --quiet --model tiny.net --norm bn --limit 32 --batch 16 --val 16 --epochs"

# opencl_fault STATUS PATTERN CALL CL-STATUS: a run in which the first CALL fails, wherever it comes from
opencl_fault()
{
    read -r _ _ site _ <<END
$(grep "^site $3 " sites.txt)
END
    rm -rf struck
    CLN_FAULTS="$3:$site:1:$4" CLN_FAULTS_TOOL=cl with_tools $train 1 --out struck
    check "the fault was injected" grep -q '^injected' log
    check "all OpenCL objects are released" no grep -E '^(held|released)' log
    check "status $1 expected" [ "$status" -eq "$1" ]
    check "one line on stderr expected" one_line err
    check "stderr should match: $2" grep -Eq -e "$2" err
}

reach_0() { works devices; }
reach_1() # larger images under the name of smaller ones
{
    works bench norms --shape 1,8,4,4 --norm ln --min-time 0.01 --json small.json
    works bench norms --shape 1,64,64,64 --norm ln --min-time 0.01 --json large.json
    sed -i 's/1x64x64x64/1x8x4x4/g' large.json
    clnorm bench compare small.json large.json
    check "status 1 expected" [ "$status" -eq 1 ]
    check "it says so" grep -q ' slower' out
}
reach_2() { error 2 'frobnicate' train --frobnicate; }
reach_3() { opencl_fault 3 'close other programs' clEnqueueNDRangeKernel -6; }
reach_5() { error 5 'there is no device "99"' $train 1 --out run --device 99; }
reach_6() { opencl_fault 6 'CL_OUT_OF_RESOURCES' clEnqueueNDRangeKernel -5; }
reach_7()
{
    mkdir kernels
    cp "$here"/../../cl/*.cl "$here"/../../cl/*.h "$here"/../../cl/*.table kernels
    sed -i '1i kernel vacuum broken;' kernels/feed.cl
    CLNORM_CL_DIR=$PWD/kernels clnorm $train 1 --out uncompiled
    check "status 7 expected" [ "$status" -eq 7 ]
    check "the compiler's place" grep -q 'feed.cl:1:' err
}
reach_8() { opencl_fault 8 'smaller batch' clCreateBuffer -4; }
reach_9() { error 9 '/dev/null: Not a directory' $train 1 --out /dev/null/run; }
reach_10()
{
    echo nothing >nothing.tar.gz
    error 10 nothing.tar.gz $train 1 --out unread --data nothing.tar.gz
}
reach_11()
{
    echo 'conv sixteen' >wrong.net
    error 11 'wrong.net:1' model wrong.net
}
reach_12()
{
    cp -r whole damaged
    rm damaged/summary.json
    head -c 200 whole/checkpoint.safetensors >damaged/checkpoint.safetensors
    error 12 'damaged/checkpoint.safetensors' train --quiet --resume damaged
}
reach_13()
{
    cp -r whole held
    rm held/summary.json
    last="clnorm train --resume held, behind a lock"
    flock held/.lock "$program" train --quiet --resume held >out 2>err
    status=$?
    check "status 13 expected" [ "$status" -eq 13 ]
    check "one line" one_line err
}
reach_14() { error 14 'whole' $train 1 --out whole; }
reach_15()
{
    error 15 'not finite' train --quiet --norm none --optimizer sgd --lr 900 --limit 64 --batch 16 --epochs 5 --out diverged
}
reach_16() { error 16 '127.0.0.1:1' fetch --dir fetched --url http://127.0.0.1:1/cifar-10-binary.tar.gz; }
reach_17() { opencl_fault 17 'CL_INVALID_ARG_SIZE' clSetKernelArg -51; }
reach_130()
{
    start train --quiet --model tiny.net --norm bn --batch 16 --epochs 100 --out stopped
    check "it has begun" wait_for 60 test -e stopped/checkpoint.safetensors
    kill -INT "$process"
    ended
    check "status 130 expected" [ "$status" -eq 130 ]
    check "it goes on" grep -q 'resume stopped' err
}

works $train 1 --out whole
with_tools $train 1 --out logged
grep '^site' log >sites.txt
works --help
statuses=$(sed -n '/^exit status/,$s/^ *\([0-9]\{1,\}\)  .*/\1/p' out)
for number in $statuses; do
    if command -v "reach_$number" >/dev/null; then
        "reach_$number"
    else
        check "exit status $number has a test" false
    fi
done
# As many as the table has lines, and 0, 1, 130.
codes=$(grep -Ec '^ *X\([A-Z_]+, -[0-9]+, ' "$here/../../runtime/clnorm.h")
check "the table's $codes codes are all documented" [ "$(echo "$statuses" | wc -w)" -eq $((codes + 3)) ]
finish
