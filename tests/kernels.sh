#!/bin/sh
# The kernels that most tests launch, compiled once and laid into the folder that each of them has for PoCL's cache. What
# PoCL compiles depends on the source and its options alone; whether it is right is for the tests to say.
# usage: sh tests/kernels.sh PROGRAM CACHE-FOLDER TEST...
program=$1
cache=$2
shift 2
run=$(mktemp -d) || exit 1
trap 'rm -rf "$run"' EXIT
export CLNORM_DATA=sample
case $("$program" devices) in
*"Portable Computing Language"*) ;;
*) echo "there is no PoCL, whose cache this fills"; exit 0 ;;
esac
mkdir -p "$cache/seed-doctor" "$cache/seed-train"

# Two processes, each with a folder of its own (with one compute unit clnorm starts no other one that compiles ahead).
# clnorm's own cache goes with $run: its marks would keep tests from checking.
POCL_CACHE_DIR=$cache/seed-doctor CLNORM_CACHE_DIR=$run/doctor "$program" doctor --full >"$run/out" 2>&1 &
export POCL_CACHE_DIR="$cache/seed-train" CLNORM_CACHE_DIR="$run/train" POCL_MAX_PTHREAD_COUNT=1 POCL_CPU_MAX_CU_COUNT=1
for settings in "--norm bn" "--norm gn" "--model s8 --norm gn" "--model s8r --norm bn" "--model s8 --norm bn --act relu --optimizer sgd" \
    "--model s8 --norm ln --act relu --optimizer adamw"; do
    # shellcheck disable=SC2086 # words
    "$program" train --quiet --limit 64 --batch 64 --epochs 1 $settings --out "$run/run" --overwrite >"$run/out2" 2>&1
done
wait
for name; do
    for seed in seed-doctor seed-train; do
        cp -r "$cache/$seed/." "$cache/pocl-$name/" || exit 1
    done
done
du -sh "$cache/seed-doctor" "$cache/seed-train"
