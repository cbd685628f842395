#!/bin/sh
# Disks that are full or cannot be written: an error that says so, earlier results intact, and a run that goes on once
# there is space. A small file system needs root; without it, and everywhere, a limit on file sizes stands in.
. "$(dirname "$0")/lib.sh"
# 1.1 million parameters: a checkpoint of 9 MB
printf 'gap\nconv 1024 k=1\nconv 1024 k=1\ngap\ndense 10\n' >wide.net
wide="--quiet --model wide.net --optimizer sgd --norm bn --limit 32 --batch 16 --val 16 --epochs 3"
works train $wide --out whole
without_times whole/metrics.jsonl >whole.txt

# ---- a limit on file sizes, met by a run that is resumed
start train $wide --out limited
check "its first checkpoint" wait_for 60 test -e limited/checkpoint.safetensors
kill -KILL "$process"
ended
if [ ! -e limited/summary.json ]; then
    before=$(cksum <limited/checkpoint.safetensors)
    (
        ulimit -f 8192 # blocks of 512 bytes, 4 MiB
        error 9 'limited/checkpoint.safetensors: File too large.*ulimit' train --quiet --resume limited
        check "it says how to go on" grep -q 'go on with: clnorm train --resume limited$' err
        echo "$checks $failed" >counts
    )
    read -r checks failed <counts
    check "the earlier checkpoint is intact" [ "$(cksum <limited/checkpoint.safetensors)" = "$before" ]
fi
check "then the run goes on" resumable limited

# ---- kernel caches that cannot be written: a file in its place, a file above it
: >file
for cache in file file/below; do
    CLNORM_CACHE_DIR=$PWD/$cache clnorm train --quiet $small --epochs 1 --out "cache-${cache%/*}" --overwrite
    check "no cache: works" [ "$status" -eq 0 ]
    check "no cache: without a word" empty err
done
works train --quiet $small --epochs 1 --out cached
check "no cache: the same weights" [ "$(sha cached)" = "$(sha cache-file)" ]

# ---- a file system of its own
mounted=
# shellcheck disable=SC2317 # by trap
unmount() { for dir in $mounted; do umount "$dir"; done; }
trap unmount EXIT
mount_small() # DIR OPTIONS
{
    mkdir -p "$1"
    mount -t tmpfs -o "$2" tmpfs "$1" 2>/dev/null || return 1
    mounted="$PWD/$1 $mounted"
}
if ! mount_small disk size=14m; then
    echo "no right to mount a file system: the tests of a full disk are left out"
    finish
fi
error 9 'disk/run/checkpoint.safetensors: No space left on device: free some space' train $wide --out disk/run
check "it says how to go on" grep -q 'go on with: clnorm train --resume disk/run$' err
check "no temporary file" [ -z "$(find disk -name '*.tmp')" ]
check "no summary" no test -e disk/run/summary.json
error 9 'No space left on device' train --quiet --resume disk/run
mount -o remount,size=64m disk
check "with more space the run goes on" resumable disk/run
kept=$(sums disk/run | grep -v lock)
dd if=/dev/zero of=disk/filler bs=64k 2>/dev/null
error 9 'No space left on device' train $wide --overwrite --out disk/run
check "a run that cannot be replaced is kept" [ "$(sums disk/run | grep -v lock)" = "$kept" ]
error 9 'No space left on device' train $wide --out disk/another
rm disk/filler
works train $wide --out disk/another
check "afterwards it works" [ "$(sha disk/another)" = "$(sha whole)" ]

# ---- a cache that is full, and one that is read-only
works train --quiet $small --epochs 1 --out roomy
if mount_small full size=64k; then
    CLNORM_CACHE_DIR=$PWD/full works train --quiet $small --epochs 1 --out full-cache
    check "a full cache: without a word" empty err
    check "a full cache: nothing is left in it" [ -z "$(find full -type f -size +64k)" ]
    check "a full cache: the same weights" [ "$(sha full-cache)" = "$(sha roomy)" ]
fi
if mount_small fixed size=64k && mount -o remount,ro fixed; then
    CLNORM_CACHE_DIR=$PWD/fixed works train --quiet $small --epochs 1 --out fixed-cache
    check "a read-only cache: without a word" empty err
    check "a read-only cache: the same weights" [ "$(sha fixed-cache)" = "$(sha roomy)" ]
    error 9 'fixed/run.*Read-only' train --quiet $small --out fixed/run
    error 9 'fixed/x: .*Read-only' fetch --dir fixed/x --url http://127.0.0.1:1/x
fi
finish
