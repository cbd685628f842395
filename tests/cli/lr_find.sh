#!/bin/sh
# clnorm lr-find: the same grid for every norm, on held-out training images; resumed it ends with the same table.
. "$(dirname "$0")/lib.sh"

printf 'conv 8 k=3\n$norm\nrelu\ngap\nconv $classes k=1 bias=1\n' >tiny.net
small="--model ./tiny.net --norms bn,ln --sgd 0.01,0.1 --adamw 0.004 --muon none --limit 128 --epochs 1 --batch 64"

works lr-find $small --plan --out nothing
check "the plan" grep -Eq '^nothing: 6 runs, 0 done, on .*; about .* to go$' out
check "a plan alone leaves nothing" no test -e nothing

# the grid without a word about it: three optimisers, six rates each, for three norms
works lr-find --model ./tiny.net --limit 128 --batch 64 --plan --out nothing
check "the default grid" grep -Eq '^nothing: 54 runs, 0 done, on .*; about .* to go$' out

works lr-find $small --quiet --out grid
cp out table
check "what it was judged on" grep -q 'on the last 200 training images, which were held out' table
for row in 'bn +sgd +0.01' 'bn +sgd +0.1' 'bn +adamw +0.004' 'ln +sgd +0.01' 'ln +sgd +0.1' 'ln +adamw +0.004'; do
    check "the row $row" grep -Eq "^$row +[0-9.]+( +\*)?$" table
done
check "one best rate a norm" [ "$(grep -c '^best: --norm ' table)" -eq 2 ]
check "each is marked" [ "$(grep -c '\*$' table)" -eq 2 ]
# the largest of a norm's rows, and of equals the first
best=$(awk '$1 == "bn" && $4 > top { top = $4; best = $2 " --lr " $3 } END { print best }' table)
check "it is the best" grep -q "^best: --norm bn --optimizer $best " table
check "weight decay goes with the optimiser" grep -q '"weight-decay": 0.05' grid/tiny-bn-adamw-lr0.004-s1/config.json
check "likewise" grep -q '"weight-decay": 0.005' grid/tiny-ln-sgd-lr0.1-s1/config.json
check "only held-out images were tested on" grep -q '"images": 200' grid/tiny-ln-sgd-lr0.1-s1/outcome.json

works train --quiet --model ./tiny.net --norm ln --optimizer sgd --lr 0.1 --weight-decay 0.005 --val 200 --limit 128 --epochs 1 --batch 64 --out alone
check "a run of it is that of clnorm train" [ "$(sha alone)" = "$(sha grid/tiny-ln-sgd-lr0.1-s1)" ]

kept=$(sums grid/tiny-bn-sgd-lr0.1-s1)
works lr-find $small --quiet --out grid
check "finished runs are kept" [ "$(sums grid/tiny-bn-sgd-lr0.1-s1)" = "$kept" ]
check "the same table" cmp -s out table

start lr-find $small --quiet --out killed
check "it runs" wait_for 120 test -s killed/tiny-bn-sgd-lr0.01-s1/summary.json
kill -KILL "$process"
ended
works lr-find $small --quiet --out killed
check "killed and started again: the same table" cmp -s out table

# ---- a rate that is too large is a result, not a failure; seeds are averaged
clnorm lr-find --model ./tiny.net --norms none --sgd 0.001,1000 --adamw none --muon none --weight-decay 10 --seeds 2 --limit 256 --epochs 4 --batch 16 \
    --quiet --out wild
check "status 0 expected" [ "$status" -eq 0 ]
check "it says so" grep -Eq '^none +sgd +1000 +diverged$' out
check "mean and deviation" grep -Eq '^none +sgd +0.001 +[0-9.]+ \+- [0-9.]+  \*$' out
check "the edge of the grid" grep -q '^best: --norm none --optimizer sgd --lr 0.001 .*at the edge of the grid' out

# ---- what is refused
error 2 'rates are not chosen on the test set' lr-find $small --val 0 --out bad
error 2 'must ascend' lr-find --sgd 0.2,0.1 --out bad
error 2 'no learning rate to try' lr-find --sgd none --adamw none --muon none --out bad
error 2 "'0.1,x' is not a list of numbers" lr-find --sgd 0.1,x --out bad
error 2 "'nan' is not a list of numbers" lr-find --adamw nan --out bad
error 2 'more than 32 numbers' lr-find --adamw "$(seq -s, 1 33)" --out bad
error 2 "'--lr=0.1'|unrecognized option" lr-find --lr 0.1 --out bad
error 2 'epochs is 0: it must be from 1' lr-find --epochs 0 --out bad
error 2 'weight-decay is inf: it must be from 0 to 10' lr-find --weight-decay inf --out bad
error 2 "unknown model" lr-find --model nothing --out bad
error 14 'grid holds a study with other settings' lr-find $small --seeds 2 --out grid
check "nothing was begun" no test -e bad
finish
