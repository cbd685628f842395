#!/bin/sh
# Trainings killed (SIGKILL) at any moment and resumed end as if nothing had happened. First at each kind of file
# operation, before it and in the middle of what it writes; then at random times, several times a run, start-up
# included, until it ends. Behind the usual arguments: how many random kills, 10 in the short form, 200 in the long one.
number=${5:-}
. "$(dirname "$0")/lib.sh"
[ -n "$number" ] || { [ "$form" = short ] && number=10 || number=200; }
kills=0

# The folder as a person finds it after a kill: what the program would do next must work.
go_on_with() # DIR ARGUMENT...: resumes, or trains where the run had not begun
{
    dir=$1
    shift
    if [ -e "$dir/summary.json" ]; then
        true
    elif [ -e "$dir/config.json" ]; then
        clnorm train --quiet --resume "$dir"
    else
        clnorm train --quiet "$@" --out "$dir"
    fi
}
whole_files() # DIR: nothing that readers meet under its own name is half a file
{
    [ ! -e "$1/summary.json" ] || [ "$(sha "$1")" = "$(sha whole)" ] || return 1
    [ ! -e "$1/config.json" ] || [ "$(tail -n 1 "$1/config.json")" = "}" ] || return 1
    [ ! -e "$1/model.safetensors" ] || cmp -s "$1/model.safetensors" whole/model.safetensors || return 1
    for file in curves misclassified; do
        [ ! -e "$1/$file.png" ] || tail -c 8 "$1/$file.png" | grep -q IEND || return 1
    done
}
documented="checkpoint.safetensors config.json curves.png metrics.jsonl misclassified.png model.safetensors outcome.json summary.json "
list() { (cd "$1" && find . -mindepth 1 ! -name .lock | sed 's,^\./,,' | sort | tr '\n' ' '); }
survived() # DIR ARGUMENT...
{
    kills=$((kills + 1))
    check "only whole files" whole_files "$1"
    go_on_with "$@"
    check "goes on to its end" [ -e "$1/summary.json" ]
    check "the same weights" [ "$(sha "$1")" = "$(sha whole)" ]
    without_times "$1/metrics.jsonl" >killed.txt
    check "a line an epoch, the same figures" cmp -s killed.txt whole.txt
    check "nothing is left behind" [ "$(list "$1")" = "$documented" ]
}

# ---- at every file operation
if [ "$shim" = - ]; then
    echo "skipped: kills at file operations (there is no library that injects them)"
else
    few="--data few $small --epochs 2"
    make_few
    works train --quiet $few --out whole
    without_times whole/metrics.jsonl >whole.txt
    [ "$form" = short ] || export CLN_FAULTS_DEPTH=32
    with_tools train --quiet $few --out logged
    grep '^site' log >sites.txt
    while read -r _ name site calls _ <&3; do
        case $name in
        mkdir | open | pwrite | unlink | fdopen | fsync | rename) ways="kill" ;;
        write | fwrite | fclose) ways="kill torn" ;;
        *) continue ;;
        esac
        for way in $ways; do
            k=1
            while [ $k -le "$calls" ]; do
                rm -rf run
                CLN_FAULTS=$name:$site:$k:$way CLN_FAULTS_TOOL=libc with_tools train --quiet $few --out run
                if [ "$status" -eq 137 ]; then
                    check "the fault killed it, not the clock" grep -q '^injected' log
                    survived run $few
                fi
                [ "$form" = short ] && [ $k -lt "$calls" ] && k=$(((k + calls) / 2))
                k=$((k + 1))
            done
        done
    done 3<sites.txt
    unset CLN_FAULTS_DEPTH
    check "some runs were killed" [ $kills -gt 20 ]
    echo "$kills kills at file operations"
fi

# ---- at any time
many="$small --epochs 8"
rm -rf whole
begin=$(date +%s%N)
works train --quiet $many --out whole
life=$((($(date +%s%N) - begin) / 1000000)) # ms
without_times whole/metrics.jsonl >whole.txt
# random LIMIT: a number below it
random() { echo $(($(od -An -N4 -tu4 /dev/urandom) % $1)); }
pause() { sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"; }
random_kills=0
while [ $random_kills -lt "$number" ]; do
    rm -rf run
    [ $((random_kills % 3)) -ne 0 ] || rm -rf kernels # compiles and saves its kernels, too
    export CLNORM_CACHE_DIR="$PWD/kernels"
    tries=0
    while [ ! -e run/summary.json ] && [ $tries -lt 4 ] && [ $random_kills -lt "$number" ]; do
        tries=$((tries + 1))
        if [ -e run/config.json ]; then
            start train --quiet --resume run
        else
            start train --quiet $many --out run
        fi
        delay=$(random $((life + life / 4)))
        pause "$delay"
        kill -KILL "$process" 2>/dev/null && random_kills=$((random_kills + 1))
        ended
        last="$last (killed after $delay of about $life ms)"
        check "killed, or at its end" [ $((status % 137)) -eq 0 ]
        check "only whole files" whole_files run
    done
    survived run $many
    kills=$((kills - 1))
done
unset CLNORM_CACHE_DIR
echo "$random_kills kills at random times"
finish
