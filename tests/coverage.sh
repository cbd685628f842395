#!/bin/sh
# How much of runtime/ the tests reach: builds with counters (the preset "coverage"), runs the default suite, and prints
# for each file, and for all of them, the share of lines that ran. `sh tests/coverage.sh [CTEST-OPTION ...]` in a
# checkout; the status is 0 only if the tests passed and at least 90 % of the lines ran. What ran stands in
# build/coverage/gcov/FILE.gcov, where "#####" marks a line that did not.
set -eu
cd "$(dirname "$0")/.."
build=$PWD/build/coverage
floor=90
cmake --preset coverage >/dev/null
cmake --build --preset coverage --parallel "$(nproc)" >/dev/null
find "$build" -name '*.gcda' -delete
passed=yes
ctest --preset coverage "$@" || passed=no
rm -rf "$build/gcov"
mkdir "$build/gcov"
cd "$build/gcov"
find "$build/CMakeFiles" -path '*/runtime/*' -name '*.gcno' | sort >notes.txt
# A file's lines count once, in the object that is made of it.
while read -r note; do
    gcov "$note" 2>/dev/null
done <notes.txt | awk -v floor=$floor '
    /^File / { file = $2; gsub("\047", "", file); sub(".*/runtime/", "runtime/", file) }
    /^Lines executed/ && file ~ /^runtime\/.*\.c$/ {
        split($2, share, /[:%]/)
        all[file] = $NF
        ran[file] = share[2] * $NF / 100
    }
    END {
        for (file in all) {
            printf "%6.1f %%  %5d  %s\n", 100 * ran[file] / all[file], all[file], file | "sort -n"
            lines += all[file]
            reached += ran[file]
        }
        close("sort -n")
        if (!lines)
            exit 1
        printf "%6.1f %%  %5d  runtime/ (at least %d %% expected)\n", 100 * reached / lines, lines, floor
        exit 100 * reached < floor * lines
    }'
[ $passed = yes ]
