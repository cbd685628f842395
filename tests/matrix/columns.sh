# What tests/matrix/run does for a column, and how it prints the table. A column has two parts, `doctor` and `training`,
# which know nothing of each other. A check leaves lines "ROW|OUTCOME|CASES" in the part's `cells`, with OUTCOME ok, RED
# or skipped, and what a person should read in `report`.
# shellcheck shell=bash disable=SC2154 # here, program, scratch and cases are the script's

rows=("limits, memory"
    "convolution, dense: vector" "convolution, dense: simt" "convolution, dense: winograd"
    "convolution, dense: pointwise" "convolution, dense: tile" "convolution, dense: gemm" "pooling: vector" "pooling: simt"
    "norms, activations: vector" "norms, activations: simt" "add, scale, dropout, sigmoid: vector" "add, scale, dropout, sigmoid: simt"
    "loss, optimisers: vector" "loss, optimisers: simt" "networks: vector" "networks: simt" "networks: winograd" "networks: pointwise" "networks: tile"
    "20 steps against recorded losses" "train and evaluate" "a planted fault is found" "no diagnostics")

icd=/etc/OpenCL/vendors
intel_library() { find "${VIRTUAL_ENV:-/nonexistent}/lib" -maxdepth 1 -name libintelocl.so 2>/dev/null; }

# absent COLUMN: why it cannot be run; fails where it can.
absent()
{
    case $1 in
        pocl) [ -e $icd/pocl.icd ] || { echo "install pocl-opencl-icd"; return 0; } ;;
        rusticl) [ -e $icd/rusticl.icd ] || { echo "install mesa-opencl-icd"; return 0; } ;;
        oclgrind | oclgrind-races | oclgrind-uninitialized)
            command -v oclgrind >/dev/null || { echo "install oclgrind"; return 0; } ;;
        intel) [ "$(intel_library)" ] || {
            echo "no libintelocl.so in \$VIRTUAL_ENV/lib; pip install intel-opencl-rt intel-cmplr-lib-rt"; return 0; } ;;
        icd:*) [ -e "${1#icd:}" ] || { echo "there is no ${1#icd:}"; return 0; } ;;
        *) echo "an unknown name; see the head of tests/matrix/run"; return 0 ;;
    esac
    return 1
}

# use COLUMN DIR: the environment that shows this implementation alone, caches that are empty, and the command `on`.
# Oclgrind runs in one thread, since its plugins are no more than that, with little memory, so that the check of memory
# is short; -cl-opt-disable keeps LLVM's freeze away, at which it would skip the kernel, and without `restrict` there is
# no llvm.experimental.noalias.scope.decl, which it does not know either. Its local memory passes for a cache, so that
# the Winograd kernels run on it as well.
use()
{
    export CLNORM_CACHE_DIR=$2/kernels XDG_CACHE_HOME=$2/cache POCL_CACHE_DIR=$2/pocl
    mkdir -p "$CLNORM_CACHE_DIR" "$XDG_CACHE_HOME" "$POCL_CACHE_DIR"
    prefix=(env)
    case $1 in
        pocl) export OCL_ICD_VENDORS=$icd/pocl.icd ;;
        rusticl) export OCL_ICD_VENDORS=$icd/rusticl.icd RUSTICL_ENABLE=llvmpipe ;;
        intel)
            intel_library >"$2/intel.icd"
            export OCL_ICD_VENDORS=$2/intel.icd ;;
        icd:*) export OCL_ICD_VENDORS=${1#icd:} ;;
        *) prefix=(env CLNORM_SIMULATE=cached=1 oclgrind --num-threads 1 --global-mem-size 33554432 --log "$2/log" --max-errors 100
            --build-options "-cl-opt-disable -Drestrict=") ;;
    esac
    case $1 in
        oclgrind-races) prefix+=(--data-races) ;;
        oclgrind-uninitialized)
            # shellcheck disable=SC2016 # for that shell
            prefix+=(--uninitialized sh -c 'LD_PRELOAD=$0:$LD_PRELOAD exec "$@"' "$build/tests/libmatrix_uninitialized.so") ;;
    esac
}

# on COMMAND...: there. Oclgrind begins its log anew in each process.
on()
{
    local status
    "${prefix[@]}" "$@"
    status=$?
    [ ! -s "$dir/log" ] || cat "$dir/log" >>"$dir/diagnostics"
    rm -f "$dir/log"
    return $status
}

cell() { echo "$1|$2|$3" >>"$dir/cells"; }

# A folder of the MNIST format: 32 images for training and 16 for testing, of 8x8 bytes that compression made random.
make_data()
{
    local set count source=$here/../../data/cifar-10-sample.tar.gz
    mkdir -p "$1"
    for set in train=32 t10k=16; do
        count=${set#*=}
        # shellcheck disable=SC2059 # the format is the header
        { printf "\0\0\10\3\0\0\0\\$(printf %o "$count")\0\0\0\10\0\0\0\10"; tail -c 100000 "$source" | head -c $((64 * count)); } \
            >"$1/${set%=*}-images-idx3-ubyte"
        # shellcheck disable=SC2059
        { printf "\0\0\10\1\0\0\0\\$(printf %o "$count")"; for _ in $(seq $((count / 4))); do printf '\0\1\2\3'; done; } \
            >"$1/${set%=*}-labels-idx1-ubyte"
    done
}

# The doctor's lines "OP CLASS WHAT ... CASES ... ok|FAILED" or "... skipped: WHY", by rows of the table.
doctor()
{
    local status
    on "$program" doctor "$@" >"$dir/doctor" 2>&1
    status=$?
    awk '
        /^(limits|memory) / { row = "limits, memory" }
        /^(conv|dwconv|dense) / { row = "convolution, dense: " $2 }
        /^(maxpool|avgpool|gap) / { row = "pooling: " $2 }
        /^(bn|ln|gn|in|none|relu|silu|celu|gelu) / { row = "norms, activations: " $2 }
        /^(add|dropout|sigmoid|scale) / { row = "add, scale, dropout, sigmoid: " $2 }
        /^(loss|sgd|adamw|muon) / { row = "loss, optimisers: " $2 }
        /^network / { row = "networks: " $2 }
        /^training / { row = "20 steps against recorded losses" }
        row && match($0, /skipped: /) { print row "|skipped|0" }
        row && match($0, / [0-9]+ +([0-9.a-z+-]+ +[0-9.a-z+-]+ +)?[0-9.]+ s  (ok|FAILED)$/) {
            print row "|" (/ok$/ ? "ok" : "RED") "|" substr($0, RSTART) + 0
        }
        { row = "" }' "$dir/doctor" >>"$dir/cells"
    # A failed check that no row above knows must not get lost.
    [ $status -ne 5 ] || grep -q '|RED|' "$dir/cells" || cell "limits, memory" RED 0
    grep -E -A 1 ' s  FAILED$' "$dir/doctor" >>"$dir/report"
    if [ $status -ne 0 ] && [ $status -ne 5 ]; then
        { echo "clnorm doctor ended with status $status:"; tail -5 "$dir/doctor"; } >>"$dir/report"
        cell "limits, memory" RED 0
    fi
}

# weights DIR: the checksum of a run's weights.
weights() { sed -n 's/.*"weights_sha256": "\(.*\)".*/\1/p' "$1/summary.json"; }

# Each norm in each class: a run ends well, a second one gives the same bits (but for the simulator, which does the same
# twice), and evaluation runs on what it wrote.
training() # COLUMN
{
    local class norm run command fine
    for class in vector simt; do
        for norm in bn ln; do
            fine=ok
            run=$dir/run-$class-$norm
            command=("$program" train --quiet --data "$scratch/data" --model "$here/tiny.net" --norm "$norm"
                --class "$class" --batch 16 --epochs 2 --out)
            on "${command[@]}" "$run" >"$dir/train" 2>&1 &&
                on "$program" eval "$run" --data "$scratch/data" >>"$dir/train" 2>&1 || fine=RED
            [ "$(weights "$run")" ] || fine=RED
            case $1 in
                oclgrind*) ;;
                *)
                    on "${command[@]}" "$run-again" >>"$dir/train" 2>&1 || fine=RED
                    [ "$(weights "$run")" = "$(weights "$run-again")" ] || fine=RED ;;
            esac
            [ $fine = ok ] || { echo "training with $norm, $class:"; tail -5 "$dir/train"; } >>"$dir/report"
            cell "train and evaluate" $fine 1
        done
    done
}

# planted COLUMN: what this column looks for, put into a kernel (matrix/NAME.cl), is found.
planted()
{
    local fault
    case $1 in
        oclgrind) fault=outside ;;
        oclgrind-races) fault=race ;;
        *) fault=unwritten ;;
    esac
    CLNORM_CL_DIR=$here on "$build/tests/matrix_minimal" $fault.cl >"$dir/planted" 2>&1
    if grep -q "Kernel: minimal" "$dir/diagnostics"; then
        cell "a planted fault is found" ok 1
    else
        { echo "the fault in $fault.cl was not found:"; cat "$dir/planted"; } >>"$dir/report"
        cell "a planted fault is found" RED 0
    fi
    : >"$dir/diagnostics"
}

# Anything that Oclgrind has to say is a failure, whatever the exit status was.
diagnostics()
{
    if [ -s "$dir/diagnostics" ]; then
        { echo "Oclgrind reported:"; grep -v '^[[:space:]]*$' "$dir/diagnostics" | head -20; } >>"$dir/report"
        cell "no diagnostics" RED 0
    else
        cell "no diagnostics" ok 0
    fi
}

# folder COLUMN PART
folder() { echo "$scratch/${1//\//_}/$2"; }

# check_part COLUMN doctor|training
check_part()
{
    local began=$SECONDS
    dir=$(folder "$1" "$2")
    : >"$dir/cells"
    : >"$dir/report"
    use "$1" "$dir"
    case $1-$2 in
        oclgrind*-doctor)
            planted "$1"
            doctor --cases small ;;
        *-doctor) if [ "$cases" = all ]; then doctor --cases all --full; else doctor --cases few; fi ;;
        *) training "$1" ;;
    esac
    case $1 in oclgrind*) diagnostics ;; esac
    echo "$2, $((SECONDS - began)) s" >>"$dir/report"
    : >"$dir/whole"
}

# known COLUMN ROW: the entry of tests/matrix/known for it.
known() { grep -F "$1|$2|" "$here/known" 2>/dev/null; }

# outcome COLUMN ROW: a cell of the table.
outcome()
{
    awk -F '|' -v row="$2" '
        $1 == row { n++; cases += $3; red += $2 == "RED"; skipped += $2 == "skipped" }
        END {
            if (!n) print "–"
            else if (red) print "**red**"
            else if (skipped == n) print "skipped"
            else if (cases) print "ok, " cases
            else print "ok"
        }' "$(folder "$1" doctor)/cells" "$(folder "$1" training)/cells"
}

# table COLUMN ...: fails where a cell is red that is not known.
table()
{
    local row column part text status=0
    printf '\n| check |'
    printf ' %s |' "$@"
    printf '\n|---|'
    printf -- '---|%.0s' "$@"
    printf '\n'
    for row in "${rows[@]}"; do
        printf '| %s' "$row"
        for column in "$@"; do
            text=$(outcome "$column" "$row")
            case $text in
                *red*) if known "$column" "$row" >/dev/null; then text="red, known"; else status=1; fi ;;
            esac
            printf ' | %s' "$text"
        done
        printf ' |\n'
    done
    for column in "$@"; do
        for row in "${rows[@]}"; do known "$column" "$row" | sed 's/|/: /g; s/^/\nknown: /'; done
        for part in doctor training; do # one that stopped on the way has cells that say nothing of the rest
            [ -e "$(folder "$column" $part)/whole" ] || { printf '\n%s: its %s did not end\n' "$column" $part; status=1; }
        done
    done
    return $status
}
