#!/bin/sh
# Every call site of OpenCL calls, allocations and file operations, in a training, a resumed training and an evaluation,
# from loose files and from the archive of the sample, with kernels cached and without, made to fail: a clean error or no
# harm, nothing leaked, nothing lost. A site is a place that calls; its first and last call fail. In the long form a
# site is a whole call path, and its middle call fails as well, and all of its calls. The argument behind the usual ones,
# if there is one, names the only scenario to walk.
only=${5:-}
. "$(dirname "$0")/lib.sh"
[ "$layer" != - ] || skip "there are no libraries that inject faults here"
walked=0
sites=0
injected=0
: >walked.txt
: >messages.txt
train="train --quiet --data few $small --epochs 2 --out"

# ---- what is expected
# The exit statuses that a fault may end with; 0 where the program can do without the call.
allowed() # TOOL NAME HOW FILE
{
    case $4 in */kernels/*) echo 0 && return ;; esac
    [ "$1 $scenario" != "cl gemm" ] || { echo "0 3 6 7 8" && return; } # CLBlast's words, in part
    [ "$1 $scenario" != "cl devices-json" ] || { echo "0 3 5 6 8" && return; } # 0: the list tells
    case "$1 $2 $3" in
    "libc "*alloc* | "libc strdup "*) echo "0 3" ;;
    "libc fdopen "*) echo 3 ;; # the only way in which it fails
    "libc fsync "* | "libc rename "* | "libc fwrite "* | "libc write "* | "libc pwrite "* | "libc ftruncate "*) echo 9 ;;
    "libc lstat "*) echo "0 9 12 14" ;; # what may be there counts as being there
    "libc flock "*) echo 9 ;;
    "libc "*) echo "0 9" ;;
    "cl clRelease"*) echo 0 ;;
    "cl clBuildProgram "*) [ "$way" != cold ] && echo "0 7" || echo "0 5 7" ;; # 5: fails the check of its first use
    "cl clGetPlatformInfo "*) echo "0 5" ;;
    "cl clCreateProgramWithBinary "* | "cl clGetProgramInfo "* | "cl clGetProgramBuildInfo "*) echo 0 ;;
    "cl clGetPlatformIDs "* | "cl clGetDeviceIDs "* | "cl clCreateContext "* | "cl clCreateCommandQueue "*) echo "3 5 6" ;;
    "cl clGetDeviceInfo "*) echo "0 5" ;;
    "cl clCreateBuffer "*) echo 8 ;;
    "cl clFinish "*) echo "0 3 6" ;; # the one before everything is closed does not matter
    "cl "*" -6") echo 3 ;;
    "cl "*" -4") echo 8 ;;
    *) [ "$way" != cold ] && echo 6 || echo "5 6" ;;
    esac
}
chatter='^clnorm: compiling kernels|^CLBlast: ' # what else may be said on stderr
is_allowed() { case " $2 " in *" $1 "*) ;; *) return 1 ;; esac; }
clean_line() # of err: one line, of the program, that says more than a code
{
    grep -Ev "$chatter" err >line
    [ "$lasting" = no ] || sed -i '/^clnorm: warning: /d' line # that goes on, before the error that a lasting fault ends in
    if [ "$status" -eq 7 ]; then # the compiler's log follows
        grep -q . line || return 1
    else
        one_line line || return 1
    fi
    head -1 line | grep -Eq '^clnorm( [a-z]+)?: .{12,}'
}
# The references that a new device is held against end the process when there is no memory (tests/common/values.h).
nothing_held() { grep -q 'out of host memory for the references' err || ! grep -E '^(held|released|leak)' log; }
no_temporary() { ! find "$1" -name '*.tmp' 2>/dev/null | grep .; }
# While a fault of file operations lasts, no file can be removed either: that is left to the next run.
none_left() { [ "$lasting" = yes ] || no_temporary "$1"; }

# ---- scenarios: before_X lays things out, run_X runs the program, after_X checks what is left
before_train() { rm -rf run; }
run_train() { with_tools $train run; }
after_train()
{
    reference=${1:-whole}
    if [ "$status" -eq 0 ]; then
        check "the same weights in spite of the fault" [ "$(sha run)" = "$(sha $reference)" ]
        return
    fi
    check "no temporary file" none_left run
    if [ -e run/config.json ]; then
        check "an interrupted run goes on" resumable run $reference
    elif [ -n "$(find run -mindepth 1 ! -name .lock 2>/dev/null)" ]; then # else the next run finds what this one found
        run_$way
        check "a run that never began starts" resumable run $reference
    fi
    check "no temporary file at last" no_temporary run
}
before_sample() { rm -rf run; }
run_sample() { with_tools train --quiet $small --epochs 2 --out run; }
after_sample() { after_train sample; }
before_resume()
{
    rm -rf run
    cp -r half run
}
run_resume() { with_tools train --quiet --resume run; }
after_resume() { after_train; }
before_overwrite()
{
    rm -rf run
    cp -r other run
}
run_overwrite() { with_tools $train run --overwrite; }
after_overwrite()
{
    if [ "$status" -ne 0 ] && [ "$(sums run)" = "$other_sums" ]; then
        check "no temporary file" none_left run
    else
        after_train
    fi
}
before_eval() { :; }
run_eval() { with_tools eval whole --data few; }
after_eval()
{
    [ "$status" -ne 0 ] || check "the same figures in spite of the fault" cmp -s out eval.txt
    check "an evaluation leaves the run as it is" [ "$(sums whole)" = "$whole_sums" ]
}
# Commands that only print: before_tell is enough of a layout for them.
before_tell() { :; }
run_tell()
{
    case $scenario in
    model*) with_tools model tiny.net --json ;;
    devices*) with_tools devices --json ;;
    eval*) with_tools eval whole --data few --json ;;
    esac
}
after_tell()
{
    [ "$status" -ne 0 ] || { [ "$scenario" = devices-json ] && grep -q '"probe_error": "..*"' out; } ||
        check "the same text in spite of the fault" cmp -s out "$scenario.txt"
}
# Kernels are compiled (PoCL has them cached) and saved.
before_cold()
{
    rm -rf run kernels
}
run_cold() { CLNORM_CACHE_DIR=$PWD/kernels with_tools $train run; }
after_cold()
{
    after_train
    [ "$lasting" = yes ] ||
        check "no temporary file among the kernels" [ -z "$(find kernels -type f ! -name '*.bin' 2>/dev/null)" ]
}
before_gemm() { rm -rf run; }
run_gemm() { with_tools $train run --conv gemm; }
after_gemm()
{
    after_train gemm
}

# ---- walking
# strike TOOL NAME SITE K HOW: one fault in the scenario $scenario
strike()
{
    export CLN_FAULTS_TOOL="$1" CLN_FAULTS="$2:$3:$4:$5"
    case $1$5 in libc+*) lasting=yes ;; *) lasting=no ;; esac
    before_$way
    run_$way
    export CLN_FAULTS=""
    last="$scenario: CLN_FAULTS=$2:$3:$4:$5 CLN_FAULTS_TOOL=$1 ($last)"
    walked=$((walked + 1))
    injected_line=$(grep '^injected' log)
    [ -n "$injected_line" ] || return 0 # a call that hangs on the clock did not come this time
    injected=$((injected + 1))
    detail=${injected_line##* }
    echo "$scenario $1 $2 $5 $detail -> $status $(head -1 err)" >>messages.txt
    ok=$(allowed "$1" "$2" "${5#+}" "$detail")
    case $5 in +*) ok="$ok 3 5 6 7 8 9" ;; esac
    check "status $ok expected ($detail)" is_allowed "$status" "$ok"
    check "no leak" nothing_held
    if [ "$status" -eq 0 ]; then
        check "no word about a fault that does no harm" no grep -Eqv "$chatter" err
    else
        check "one clear line" clean_line
    fi
    after_$way
}

# The faults of a call: the first, the last; all, and for good.
errors_of() # TOOL NAME
{
    case "$1 $2" in
    "libc "*alloc | "libc strdup" | "libc fdopen") echo 12 12 ;;
    "libc read" | "libc fread" | "libc pread" | "libc fsync" | "libc close" | "libc lseek" | "libc fseek") echo 5 5 ;;
    "libc open" | "libc fopen" | "libc mkdir") echo 28 13 ;;
    "libc "*) echo 28 5 ;;
    "cl clBuildProgram") echo -11 -5 ;;
    "cl clCreateBuffer" | "cl clCreateSubBuffer" | "cl clEnqueue"*) echo -4 -5 ;;
    "cl "*) echo -5 -6 ;;
    esac
}
walk_site() # TOOL NAME SITE CALLS
{
    # shellcheck disable=SC2046 # two words
    set -- "$1" "$2" "$3" "$4" $(errors_of "$1" "$2")
    sites=$((sites + 1))
    strike "$1" "$2" "$3" 1 "$5"
    [ "$4" -le 1 ] || strike "$1" "$2" "$3" "$4" "$6"
    [ "$form" = long ] || return 0
    [ "$4" -le 2 ] || strike "$1" "$2" "$3" $((($4 + 1) / 2)) "$5"
    strike "$1" "$2" "$3" 1 "+$6"
}
walk() # SCENARIO [FUNCTIONS]
{
    scenario=$1
    way=${2:-$1}
    [ -z "$only" ] || [ "$only" = "$1" ] || return 0
    export CLN_FAULTS=""
    before_$way
    run_$way
    cp out "$scenario.txt"
    check "$scenario without a fault" [ "$status" -eq 0 ]
    check "$scenario: nothing is held at the end" nothing_held
    check "$scenario: sites" grep -q '^site' log
    grep '^site' log >sites.txt
    while read -r _ name site calls _ <&3; do
        case $name in cl*) tool=cl ;; *) tool=libc ;; esac
        grep -q "^$tool $name $site\$" walked.txt && continue
        echo "$tool $name $site" >>walked.txt
        walk_site $tool "$name" "$site" "$calls"
    done 3<sites.txt
    echo "$scenario: $sites sites, $walked faults so far"
}

# ---- what all of it is compared with
make_few
works $train whole
works $train other --seed 2
works $train gemm --conv gemm
works train --quiet $small --epochs 2 --out sample
other_sums=$(sums other)
whole_sums=$(sums whole)
works eval whole --data few
# Killed in the middle of its second epoch.
CLN_FAULTS_DEPTH=1
export CLN_FAULTS_DEPTH
before_train
run_train
read -r _ _ site calls _ <<END
$(grep '^site clEnqueueNDRangeKernel' log)
END
before_train
CLN_FAULTS=clEnqueueNDRangeKernel:$site:$((calls * 3 / 4)):kill CLN_FAULTS_TOOL=cl run_train
check "killed" [ "$status" -eq 137 ]
check "after its first epoch" [ -e run/checkpoint.safetensors ]
check "before its end" [ ! -e run/summary.json ]
rm -f run/.*.tmp
mv run half
[ "$form" = short ] || CLN_FAULTS_DEPTH=32

walk train
walk sample
walk resume
walk eval
walk eval-json tell
[ "$shim" = - ] || walk model-json tell # it makes no call of OpenCL
walk devices-json tell
walk cold
walk gemm
[ "$form" = short ] || walk overwrite
echo "$sites call sites, $walked runs, $injected faults"
[ -n "$only" ] || check "nearly all runs met their fault" [ $((10 * injected)) -ge $((8 * walked)) ]
finish
