#!/bin/sh
# Helpers for the tests of faults, sourced by the scripts beside it: `sh tests/faults/NAME.sh PROGRAM DIR LAYER SHIM`,
# with CLNORM_FAULTS=long for the long form. LAYER and SHIM are the libraries made of cl_layer.c and libc_shim.c; "-":
# there is none here.
layer=$3
shim=$4
# shellcheck disable=SC2034 # for the scripts
form=${CLNORM_FAULTS:-short}
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/cli/lib.sh
. "$here/../cli/lib.sh"
[ ! -e /etc/OpenCL/vendors/pocl.icd ] || export OCL_ICD_VENDORS=/etc/OpenCL/vendors/pocl.icd

# One core, so that no second process compiles kernels ahead: a fault is to hit this one.
export POCL_MAX_PTHREAD_COUNT=1 POCL_CPU_MAX_CU_COUNT=1
CLNORM_KEEP_BINARIES=1 # the cache of kernels is one of the things that faults hit
export CLNORM_KEEP_BINARIES

# A network and a run that take a fraction of a second with kernels cached.
printf 'conv 8 k=3\n$norm\nrelu\nconv $classes k=1 bias=1\ngap\n' >tiny.net
# shellcheck disable=SC2034 # by the scripts
small="--model tiny.net --norm bn --limit 40 --batch 16 --val 16"

# make_few: the folder few, a data set of 50 training and 10 test images of one colour each, which is read in no time
make_few()
{
    mkdir few
    for file in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
        for label in 000 001 002 003 004 005 006 007 010 011; do
            printf '%b' "\\0$label" && head -c 3072 /dev/zero | tr '\000' "\\$label"
        done >few/$file.bin
    done
}

# without_times FILE: metrics without what a clock says
without_times() { sed 's/, "images_per_second.*//' "$1"; }
skip()
{
    echo "skipped: $*"
    exit 77
}

# with_tools ARGUMENT...: the program with the tools that there are; faults come from the environment. Leaves status, out, err, log.
with_tools()
{
    last="${CLN_FAULTS:+CLN_FAULTS=$CLN_FAULTS CLN_FAULTS_TOOL=${CLN_FAULTS_TOOL:-} }clnorm $*"
    rm -f log
    OPENCL_LAYERS=$layer CLN_FAULTS_LIBS=libjansson CLN_FAULTS_LOG=$PWD/log CLN_FAULTS_PROGRAM=${program##*/} \
        timeout -s KILL 120 env LD_PRELOAD="${shim#-}" "$program" "$@" >out 2>err </dev/null
    status=$?
}

# resumable DIR [REFERENCE]: the run is finished, or goes on, with the weights and metrics of the run in REFERENCE (whole).
resumable()
{
    [ -e "$1/summary.json" ] || clnorm train --quiet --resume "$1"
    without_times "${2:-whole}/metrics.jsonl" >expected.txt
    [ -e "$1/summary.json" ] && [ "$(sha "$1")" = "$(sha "${2:-whole}")" ] &&
        without_times "$1/metrics.jsonl" | cmp -s - expected.txt
}
