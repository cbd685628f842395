#!/bin/sh
# What a run leaves, what it refuses to replace, who may write into a folder, and that results repeat.
. "$(dirname "$0")/lib.sh"

is_png() { [ "$(head -c 8 "$1" | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ] && tail -c 8 "$1" | grep -q IEND; }
same() { [ "$(sums "$1" | grep -v '\.lock')" = "$2" ]; }
keep() { kept=$(sums "$1" | grep -v '\.lock'); }
is_number() { expr "$1" : '[0-9][0-9.]*$' >/dev/null; }
is_hex64() { expr "$1" : '[0-9a-f]\{64\}$' >/dev/null; }

# ---- one run
works train $tiny --out one
check "--quiet says nothing" empty out
check "--quiet says nothing on stderr" empty err
check "the folder holds what is documented, nothing else" [ "$(ls one | tr '\n' ' ')" = \
    "checkpoint.safetensors config.json curves.png metrics.jsonl misclassified.png model.safetensors outcome.json summary.json " ]
check "curves.png is a PNG" is_png one/curves.png
check "misclassified.png is a PNG" is_png one/misclassified.png
check "a line an epoch" [ "$(lines one/metrics.jsonl)" -eq 2 ]
for key in epoch lr train_loss train_acc test_loss test_acc images_per_second seconds; do
    check "metrics.jsonl: $key is a number" [ "$(grep -Ec "\"$key\": ?-?[0-9]" one/metrics.jsonl)" -eq 2 ]
done
for key in params epochs train_acc test_acc best_test_acc best_epoch images_per_second seconds seed; do
    check "summary.json: $key is a number" is_number "$(value one/summary.json $key)"
done
check "summary.json: epochs" [ "$(value one/summary.json epochs)" = 2 ]
check "summary.json: model" [ "$(value one/summary.json model)" = s8 ]
check "summary.json: norm" [ "$(value one/summary.json norm)" = ln ]
check "summary.json: params" [ "$(value one/summary.json params)" = 46074 ]
check "summary.json: weights_sha256" is_hex64 "$(sha one)"
check "config.json: the sample" grep -q '"data": "sample"' one/config.json
check "config.json: a setting that was given" grep -q '"limit": 256' one/config.json

# ---- what it says
works train --model s8 --norm ln --limit 256 --epochs 2 --batch 64 --out loud
check "the sample is announced" grep -q 'sample.*clnorm fetch' err
check "a line an epoch on stdout" [ "$(grep -c '^epoch  *[12]/2 .*images/s' out)" -eq 2 ]
check "no bar without a terminal" no grep -q "$(printf '\r')" err
check "the same seed gives the same weights" [ "$(sha loud)" = "$(sha one)" ]

# ---- results repeat, and hang on what they should
works train $tiny --out two --seed 2
check "another seed gives other weights" [ "$(sha two)" != "$(sha one)" ]
works train $tiny --out plain --no-fuse
check "--no-fuse trains too" is_hex64 "$(sha plain)"
for norm in bn gn in none; do
    works train --quiet --norm $norm --limit 256 --epochs 1 --batch 100 --out norm-$norm # 256 = 2 x 100 + 56
    check "$norm: trains" is_hex64 "$(sha norm-$norm)"
done
check "the network where none is asked for" [ "$(value norm-bn/summary.json model) $(value norm-bn/summary.json params)" = "s8n 48282" ]
works train $tiny --out held --val 100
check "held-out images replace the test set" [ "$(lines held/metrics.jsonl)" -eq 2 ]

# ---- the default folder
(cd two && last="in another folder: clnorm train" && "$program" train $tiny --seed 7 >/dev/null 2>&1)
check "runs/MODEL-NORM-sSEED by default" test -f two/runs/s8-ln-s7/summary.json

# ---- an existing run is safe
keep one
error 14 'one holds a finished run.*--overwrite' train $tiny --out one
check "a refused run changed nothing" same one "$kept"
error 14 'nothing to resume' train --quiet --resume one
check "a refused resume changed nothing" same one "$kept"
error 5 abacus train $tiny --out one --overwrite --device abacus
error 9 nowhere train $tiny --out one --overwrite --data nowhere
error 2 lenet train $tiny --out one --overwrite --model lenet
error 11 'do not divide' train $tiny --out one --overwrite --norm gn --groups 5
error 2 'lr' train $tiny --out one --overwrite --lr -1
check "--overwrite that fails before its start changed nothing" same one "$kept"
works train $tiny --out one --overwrite --seed 3
check "--overwrite replaces it" [ "$(value one/summary.json seed)" = 3 ]
echo mine >one/notes.txt
works train $tiny --out one --overwrite
check "--overwrite leaves files that are not a run's" grep -q mine one/notes.txt
rm one/notes.txt

# ---- folders that cannot be written
: >file
error 9 'file' train $tiny --out file
error 9 'file' train $tiny --out file/below
if [ "$(id -u)" -ne 0 ]; then
    mkdir locked
    chmod 555 locked
    error 9 'locked.*Permission denied' train $tiny --out locked
    error 9 'locked.*Permission denied' train $tiny --out locked/below
fi
error 9 '/proc/' train $tiny --out /proc/nowhere/run

# ---- a full disk: a limit on the size of a file stands in for one
printf 'gap\nconv 1024 k=1\nconv 1024 k=1\ngap\ndense 10\n' >wide.net # 1.1 million parameters
works train $tiny --model wide.net --optimizer sgd --epochs 1 --out roomy
(
    trap '' XFSZ
    ulimit -f 16384 # blocks of 512 bytes, 8 MiB: the model fits, a checkpoint does not
    error 9 'full/checkpoint.safetensors.*File too large' train $tiny --model wide.net --optimizer sgd --out full
    error 9 'full/checkpoint.safetensors.*File too large' train $tiny --model wide.net --optimizer sgd --out full --overwrite
    echo "$checks $failed" >counts
)
read -r checks failed <counts
check "no half checkpoint, no temporary file" [ "$(ls full | tr '\n' ' ')" = "config.json metrics.jsonl " ]

# ---- one folder, two trainings
start train $tiny --epochs 200 --out busy
check "it runs" wait_for 60 test -s busy/checkpoint.safetensors
error 13 "pid $process.*busy" train $tiny --out busy
error 13 "pid $process.*busy" train $tiny --out busy --overwrite
check "the first goes on" kill -0 "$process"
error 13 "pid $process" train --quiet --resume busy
kill -KILL "$process"
ended
works train $tiny --out busy --overwrite
check "its death frees the folder" is_hex64 "$(sha busy)"

# ---- standard streams that a caller closed: nothing that is opened takes their place
"$program" train --norm ln --limit 64 --epochs 1 --batch 64 --out closed <&- >&- 2>&-
status=$?
check "status 0 expected" [ "$status" -eq 0 ]
check "what is said goes nowhere" no grep -aqr 'images, on' closed

# ---- eval
works eval one
check "eval: the accuracy of the run" grep -q "accuracy $(printf '%.2f' "$(value one/summary.json test_acc)") %" out
check "eval: a row a class" [ "$(grep -Ec '^[a-z]+ +[0-9]+\.[0-9]+( +[0-9]+){10}$' out)" -eq 10 ]
works eval one/model.safetensors --json
check "eval: the same as JSON" grep -Eq "^  \"accuracy\": $(value one/summary.json test_acc),?\$" out
check "eval: no flip unless asked for" no grep -q flip out
works train --quiet --limit 64 --epochs 1 --batch 64 --norm ln --test-flip 1 --out flipped
flip=$(value flipped/summary.json test_acc_flip)
works eval flipped --flip
check "eval: the accuracy with flip of the run" grep -q "with flip .* $(printf '%.2f' "$flip") %" out
works eval flipped --flip --json
check "eval: the same as JSON" grep -Eq "^  \"accuracy_flip\": $flip,?\$" out
error 9 'nowhere' eval nowhere
mkdir hollow
error 9 'hollow has no model.safetensors' eval hollow
error 12 'config.json' eval one/config.json
error 12 'not a model' eval one/checkpoint.safetensors
head -c 100000 one/model.safetensors >cut.safetensors
error 12 'cut.safetensors' eval cut.safetensors
error 9 'nowhere' eval one --data nowhere
error 5 'abacus' eval one --device abacus
finish
