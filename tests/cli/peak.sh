#!/bin/sh
# clnorm bench peak: its table, its JSON, and wrong command lines.
. "$(dirname "$0")/lib.sh"

works bench peak --help
check "help on stdout" grep -q '^usage: clnorm bench peak' out

works bench peak --min-time 0.1
check "arithmetic" grep -Eq 'multiply-add +[0-9.e-]+ GFLOP/s' out
check "a rung" grep -Eq '^ +256 KiB +[0-9.e-]+ +[0-9.e-]+' out
check "launches" grep -Eq 'wait' out
check "100 columns" no grep -Eq '^.{101}' out

works bench peak --min-time 0.1 --json -
check "JSON alone on stdout" grep -q '^{' out
check "no table" no grep -q 'GFLOP/s' out
for name in fma/-/float32 256KiB/-/copy 256KiB/-/read launch/-/batched launch/-/waited; do
    check "a row $name" grep -q "\"name\": \"peak/$name\"" out
done
works bench peak --min-time 0.1 --json file.json
check "table and file" grep -q 'GFLOP/s' out
check "the file" grep -q '"benchmarks": \[' file.json

works bench peak --min-time 0.1 --filter fma --json -
check "one row alone" [ "$(grep -c '"name": "peak/' out)" -eq 1 ]

error 2 'min-time' bench peak --min-time soon
error 2 "unrecognized option '--frobnicate'" bench peak --frobnicate
error 2 surplus bench peak surplus

# Before anything is measured: the table that is printed first is not there.
error 9 'no/such/folder' bench peak --json no/such/folder/file.json
error 9 'no/such/folder' bench peak --csv no/such/folder/file.csv

finish
