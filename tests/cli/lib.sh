#!/bin/sh
# Helpers for the tests of the program, sourced by the scripts beside it: `sh tests/cli/NAME.sh PROGRAM DIR` works in
# DIR, which it empties. A failed check prints the command with what it gave, and the script goes on; the last line
# counts the checks, and the script's status is 0 only if all of them held and there was at least one.
set -u
program=$1
mkdir -p "$2"
cd "$2" || exit 1
rm -rf ./work
mkdir work
cd work || exit 1

# Nothing of the user's may leak in; the kernel caches come from CTest.
unset CLNORM_DEVICE CLNORM_CL_DIR
export CLNORM_DATA=sample XDG_CACHE_HOME="$PWD/cache" LC_ALL=C
checks=0
failed=0
status=0

# finish: the last line of each script.
finish()
{
    echo "$checks checks, $failed failed"
    [ "$checks" -gt 0 ] && [ "$failed" -eq 0 ]
    exit
}

# check TEXT COMMAND...: COMMAND must succeed.
check()
{
    what=$1
    shift
    checks=$((checks + 1))
    if ! "$@"; then
        failed=$((failed + 1))
        echo "FAILED: $what"
        echo "  check:   $*"
        echo "  command: ${last:-}"
        echo "  status:  $status"
        sed 's/^/  stderr:  /' err 2>/dev/null | head -20
    fi
}

# clnorm ARGUMENT...: runs the program; leaves status, out and err.
clnorm()
{
    last="clnorm $*"
    "$program" "$@" >out 2>err </dev/null
    status=$?
}

empty() { [ ! -s "$1" ]; }
one_line() { [ "$(wc -l <"$1")" -eq 1 ]; }
no() { ! "$@"; }

# error STATUS PATTERN ARGUMENT...: the program must end with STATUS, say nothing on stdout, and one line on stderr that
# begins with its name and matches PATTERN (an extended regular expression). That it compiles kernels it may say before.
error()
{
    want=$1
    pattern=$2
    shift 2
    clnorm "$@"
    grep -v '^clnorm: compiling kernels for .* (first run only) \.\.\.$' err >said
    check "status $want expected" [ "$status" -eq "$want" ]
    check "nothing on stdout expected" empty out
    check "one line on stderr expected" one_line said
    check "a line that begins with the program's name expected" grep -q '^clnorm[: ]' said
    check "stderr should match: $pattern" grep -Eq -e "$pattern" said
}

# works ARGUMENT...: the program must end with 0.
works()
{
    clnorm "$@"
    check "status 0 expected" [ "$status" -eq 0 ]
}

# A run of a second or less: everything but speed and accuracy as in a real one.
# shellcheck disable=SC2034 # by the scripts
tiny="--quiet --model s8 --norm ln --limit 256 --epochs 2 --batch 64"

# value FILE KEY: the value of "KEY" in a JSON file, without quotes.
value() { sed -n 's/^ *"'"$2"'": "\{0,1\}\([^",]*\)"\{0,1\},\{0,1\}$/\1/p' "$1" | head -1; }
sha() { value "$1/summary.json" weights_sha256; }
sums() { (cd "$1" && sha256sum ./*); }
lines() { if [ -f "$1" ]; then wc -l <"$1"; else echo 0; fi; }

# wait_for SECONDS COMMAND...: until COMMAND succeeds.
wait_for()
{
    tries=$(($1 * 20))
    shift
    while ! "$@" 2>/dev/null; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.05
    done
}
at_least_lines() { [ "$(lines "$2")" -ge "$1" ]; }

# start ARGUMENT...: the program in the background, its process in $process.
start()
{
    last="clnorm $* &"
    "$program" "$@" >out 2>err </dev/null &
    process=$!
}

# ended: waits for it and leaves its status.
ended()
{
    wait "$process" 2>/dev/null
    status=$?
}
