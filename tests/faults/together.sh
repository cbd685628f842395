#!/bin/sh
# Processes at the same time: two that begin with empty kernel caches, and many that want one run folder. The long form
# keeps kernels beside PoCL's own cache, too, and damages them. Caches that cannot be written are in space.sh.
. "$(dirname "$0")/lib.sh"
[ "$form" = long ] || unset CLNORM_KEEP_BINARIES
make_few
printf 'gap\ndense $classes\n' >least.net # few kernels to compile
small="--model least.net --norm none --data few --limit 40 --batch 16 --val 16 --epochs 40"

# ---- empty caches: clnorm's and PoCL's
export CLNORM_CACHE_DIR="$PWD/kernels" POCL_CACHE_DIR="$PWD/pocl"
mkdir pocl
"$program" train $small --out whole >first.out 2>first.err &
first=$!
"$program" train $small --out second >second.out 2>second.err &
second=$!
wait $first
status=$?
cp first.err err
check "the first works" [ "$status" -eq 0 ]
wait $second
status=$?
cp second.err err
check "the second works" [ "$status" -eq 0 ]
check "they compiled" grep -q 'compiling kernels' first.err
check "the first has a result" [ -n "$(sha whole)" ]
check "the second has the same" [ "$(sha whole)" = "$(sha second)" ]
works train $small --out third
check "the caches that they left are good" no grep -q compiling err
check "and give the same result" [ "$(sha whole)" = "$(sha third)" ]
check "no temporary file among the kernels" [ -z "$(find kernels -type f ! -name '*.bin')" ]

# ---- cached kernels that are damaged are compiled again, and replaced
if [ "$form" = long ]; then
    for file in kernels/*.bin; do
        head -c 1000 "$file" >damaged.bin
        cp damaged.bin "$file"
    done
    works train $small --out fourth
    check "damaged kernels are compiled again" grep -q compiling err
    check "with the same result" [ "$(sha whole)" = "$(sha fourth)" ]
    works train $small --out fifth
    check "and replaced" no grep -q compiling err
fi

# ---- one folder: the first run is not touched by others that want it
start train --quiet $small --out run
taken=$process
check "it has the folder" wait_for 60 test -s run/.lock
refused=0
while kill -0 "$taken" 2>/dev/null && [ ! -e run/summary.json ]; do
    for way in "--out run" "--out run --overwrite" "--resume run"; do
        case $way in --resume*) settings="" ;; *) settings="$small" ;; esac
        begun=0
        [ -e run/config.json ] && begun=1
        # shellcheck disable=SC2086 # words
        clnorm train --quiet $settings $way
        [ -e run/summary.json ] && break 2
        [ "$status" -eq 9 ] && [ $begun -eq 0 ] && continue # there was nothing to resume yet
        check "refused" [ "$status" -eq 13 ]
        check "one line" one_line err
        check "which names the other process" grep -q "pid $taken" err
        refused=$((refused + 1))
    done
done
process=$taken
ended
check "the first goes on to its end" [ "$status" -eq 0 ]
check "some were refused ($refused)" [ $refused -gt 0 ]
check "the first is unharmed" resumable run
finish
