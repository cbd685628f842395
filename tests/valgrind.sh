#!/bin/sh
# The host side under Valgrind: tests that run no kernel, the program's tables, help and errors. Commands that enqueue kernels are
# left out: what PoCL compiles uses instructions that Valgrind need not know.
# usage: sh tests/valgrind.sh BUILD-FOLDER
set -u
build=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

# clean STATUS COMMAND...: it ends with STATUS, and Valgrind found no error and no block that is lost
clean()
{
    want=$1
    shift
    CK_FORK=no CK_VERBOSITY=silent valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
        --log-file="$scratch/log" "$@" >"$scratch/out" 2>&1
    status=$?
    if [ "$status" -ne "$want" ]; then
        failed=$((failed + 1))
        echo "FAILED with status $status: $*"
        head -60 "$scratch/log" "$scratch/out"
    fi
}

for name in idx safetensors; do
    clean 0 "$build/tests/test_$name"
done
echo "conv 16 k=three" >"$scratch/bad.net"
clean 0 "$build/clnorm" --help
clean 0 "$build/clnorm" model s8r --norm gn --json
clean 11 "$build/clnorm" model "$scratch/bad.net"
clean 2 "$build/clnorm" train --lr fast
clean 9 "$build/clnorm" train --quiet --out "$scratch/run" --data "$scratch/nowhere"
clean 9 "$build/clnorm" eval "$scratch/nowhere"
clean 12 "$build/clnorm" eval "$scratch/bad.net"
[ "$failed" -eq 0 ] && echo "clean"
