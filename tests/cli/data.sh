#!/bin/sh
# Where data is looked for, and data that is missing, cut short, foreign or wrong.
. "$(dirname "$0")/lib.sh"
unset CLNORM_DATA

# A CIFAR-10 of 10 records a file, made here: label N, all of its bytes N.
records()
{
    for label in 000 001 002 003 004 005 006 007 010 011; do
        printf '%b' "\\0$label"
        head -c 3072 /dev/zero | tr '\000' "\\$label"
    done
}
make_cifar() # DIR
{
    mkdir -p "$1"
    for part in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
        records >"$1/$part.bin"
    done
}
once="--quiet --norm gn --epochs 1 --batch 32"
source_of() { value "$1/config.json" data; }

# ---- the order: --data, CLNORM_DATA, the cache folder, the sample
works train $once --limit 64 --out sample
check "the sample without anything else" [ "$(source_of sample)" = sample ]
make_cifar cache/clnorm/data/cifar-10-batches-bin
works train $once --out cached
check "the cache folder, where fetch puts data" [ "$(source_of cached)" = \
    "$PWD/cache/clnorm/data/cifar-10-batches-bin" ]
make_cifar named
export CLNORM_DATA="$PWD/named"
works train $once --out named-by-variable
check "CLNORM_DATA before the cache folder" [ "$(source_of named-by-variable)" = "$PWD/named" ]
works train $once --out named-by-option --data sample --limit 64
check "--data before CLNORM_DATA" [ "$(source_of named-by-option)" = sample ]
CLNORM_DATA=$PWD/nowhere
error 9 'nowhere: No such file.*clnorm fetch' train $once --out run
error 9 'nowhere: No such file' eval named-by-variable
unset CLNORM_DATA
works eval named-by-variable --data named
check "eval reads it" grep -q '10 images' out

# ---- an archive is as good as its folder
mkdir tree
cp -r named tree/cifar-10-batches-bin
tar -czf archive.tar.gz -C tree cifar-10-batches-bin
works train $once --out from-folder --data tree
works train $once --out from-archive --data archive.tar.gz
check "the same weights from both" [ "$(sha from-folder)" = "$(sha from-archive)" ]

# ---- missing, cut short, foreign
bad() # STATUS PATTERN PATH
{
    error "$1" "$2" train $once --out run --data "$3"
    error "$1" "$2" eval from-folder --data "$3"
}
bad 9 'nowhere: No such file' nowhere
mkdir hollow
bad 9 'hollow: no data set in this folder' hollow
make_cifar partial
rm partial/data_batch_4.bin
bad 9 'partial.*data_batch_4.bin is missing' partial
make_cifar cut
head -c 30000 named/test_batch.bin >cut/test_batch.bin
bad 10 'cut: test_batch.bin has 30000 bytes' cut
: >cut/test_batch.bin
bad 10 'cut: test_batch.bin' cut
make_cifar label
printf '\012' | dd of=label/data_batch_2.bin bs=1 seek=3073 conv=notrunc 2>/dev/null
bad 10 'label.*data_batch_2.bin.*record 1 has label 10' label
size=$(wc -c <archive.tar.gz)
head -c $((size / 2)) archive.tar.gz >half.tar.gz
bad 10 'half.tar.gz' half.tar.gz
echo "no archive at all" >text.tar.gz
bad 10 'text.tar.gz: not a tar archive' text.tar.gz
: >empty.tar.gz
bad 10 'empty.tar.gz' empty.tar.gz
tar -czf foreign.tar.gz -C . text.tar.gz
bad 10 'foreign.tar.gz' foreign.tar.gz
check "none of these began a run" no test -e run/config.json

# ---- the other format: 60 images of 1 x 28 x 28
mkdir idx
idx_images()
{
    printf '\000\000\010\003\000\000\000\074\000\000\000\034\000\000\000\034'
    head -c 47040 /dev/zero | tr '\000' '\125'
}
idx_labels()
{
    printf '\000\000\010\001\000\000\000\074'
    head -c 30 /dev/zero
    head -c 30 /dev/zero | tr '\000' '\001'
}
idx_images | gzip >idx/train-images-idx3-ubyte.gz
idx_labels >idx/train-labels-idx1-ubyte
idx_images >idx/t10k-images-idx3-ubyte
idx_labels | gzip >idx/t10k-labels-idx1-ubyte.gz
works train $once --out grey --data idx
check "it was read" grep -q '"data_name": "idx"' grey/config.json
error 10 'images of 28x28x1 .* the model is for 32x32x3' eval sample --data idx
idx_images | head -c 20000 >idx/t10k-images-idx3-ubyte
bad 10 't10k-images-idx3-ubyte' idx
finish
