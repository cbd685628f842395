#!/bin/sh
# clnorm tune: it measures and keeps what it found; runs read that and keep their own choices when they are resumed; a
# table that is damaged, or stopped half-way, harms nothing.
. "$(dirname "$0")/lib.sh"

mkdir tables
export CLNORM_CACHE_DIR="$PWD/tables"
printf 'conv 16 k=3\n$norm\nrelu\nconv 16 k=3\n$norm\nrelu\nconv $classes k=1 bias=1\ngap\n' >tiny.net
many="train --quiet --model tiny.net --norm ln --limit 96 --batch 32 --val 16 --seed 3 --epochs 10"
table() { ls tables/tune-*.table; }
no_table() { [ -z "$(find tables -name 'tune-*')" ]; }
# choose SCOPE ALGORITHM: sets the forward pass of a shape in the table by hand
choose() { sed -i "s|^\([a-z]* fwd $1\) .*|\1 $2|" "$(table)"; }
has_line() { grep -q "$1" "$2"; }

# ---- before there is a table
error 2 "seconds: 'x' is not a number" tune --seconds x
error 2 "'more' is not an option" tune more
error 2 "batch" tune --batch 100000
error 2 'nothing' tune --model nothing
check "nothing is kept of a command that is wrong" no_table
works $many --out before
check "no hint where the choices were measured on such devices" no has_line 'clnorm tune' err

# ---- what it finds
works tune --model tiny.net --batch 32
check "a row for each direction" [ "$(grep -c 'forward\|backward' out)" -eq 8 ]
check "all is measured that can win" no has_line 'WRONG' out
check "it says where the table is" has_line "kept in $PWD/tables/tune-" out
check "there is one table" [ "$(table | wc -l)" -eq 1 ]
check "with lines for three shapes and the network" [ "$(grep -vc '^#' "$(table)")" -eq 9 ]
check "of which one for the images at a time" has_line '^[a-z]* micro =[0-9]* [0-9b]' "$(table)"
check "it is whole" [ "$(tail -1 "$(table)")" = "# end" ]
check "no temporary file is left" [ "$(find tables -name '.*tmp' | wc -l)" -eq 0 ]

path=$(table)
cp "$path" found.table

# ---- a table makes a difference, and only to runs that begin with it
works $many --out plain
start $many --out half
check "2 epochs done" wait_for 60 at_least_lines 2 half/metrics.jsonl
kill -s INT "$process"
ended
check "stopped before its end" no test -e half/summary.json
choose '16->16,3x3/1,32x32' simt
works $many --out tuned
check "the plan follows the table" has_line '3 conv fwd=simt' tuned/config.json
check "it did not before" no has_line '3 conv fwd=simt' plain/config.json
check "other sums, other bits" [ "$(sha tuned)" != "$(sha plain)" ]
works train --quiet --resume half
check "a run that was begun before ends as it would have" [ "$(sha half)" = "$(sha plain)" ]
start $many --out half-tuned
check "2 epochs done" wait_for 60 at_least_lines 2 half-tuned/metrics.jsonl
kill -s INT "$process"
ended
check "stopped before its end" no test -e half-tuned/summary.json
cp -r half-tuned half-damaged
rm "$(table)"
works train --quiet --resume half-tuned
check "and one that was begun with the table without it" [ "$(sha half-tuned)" = "$(sha tuned)" ]
sed 's/"tuning": "/"tuning": "nonsense /' half-damaged/config.json >damaged.json
cp damaged.json half-damaged/config.json
error 12 'half-damaged/config.json is damaged' train --quiet --resume half-damaged

# ---- a table that is none
head -c 200 found.table >"$path"
works train ${many#train --quiet } --out cut-short
check "a damaged table is left alone, with a warning" has_line "warning: the tuning table .*$path is left alone" err
check "and changes nothing" [ "$(sha cut-short)" = "$(sha before)" ]

# ---- stopped
works tune --quiet --model tiny.net --batch 32 --seconds 0.001
check "--quiet is quiet" empty out
check "no time, no table" has_line 'before anything was measured' err
rm -f "$path"
start tune --model tiny.net --batch 32
check "a shape is done" wait_for 120 has_line 'forward' out
kill -s INT "$process"
ended
check "status 130, as documented" [ "$status" -eq 130 ]
check "what was found is kept" has_line 'not all of it' out
check "in a table that is whole" [ "$(tail -1 "$path")" = "# end" ]
check "with lines" has_line '^[a-z]* fwd 3->16,3x3/1,32x32 ' "$path"

# ---- the memory that it takes
works model s8 --norm bn --batch 64
check "for the default device" has_line '^Training at batch 64 on .*, 64 images at a time, needs [0-9.]* MiB' out
works model s8 --norm ln --batch 64 --micro-batch 16 --images 2500 --device 0 --json
check "the total of its parts" [ "$(value out total)" -eq $(($(value out weights) + $(value out gradients) + $(value out optimizer) +
    $(value out activations) + $(value out workspace) + $(value out data))) ]
check "for less images at a time" [ "$(value out images_at_a_time)" = 16 ]
error 2 'images' model s8 --images 0

# ---- a device of the other class
export CLNORM_SIMULATE=width=1
works train --model tiny.net --norm ln --limit 32 --batch 32 --val 16 --epochs 1 --out simt
check "a hint where nobody has measured" has_line 'clnorm tune' err
finish
