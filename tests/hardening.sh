#!/bin/sh
# hardening.sh PROGRAM: how the program is linked, and what it calls. 77: no readelf.
command -v readelf >/dev/null || { echo "skipped: readelf is not installed"; exit 77; }
LC_ALL=C
export LC_ALL
failed=0
# check TEXT COMMAND...: COMMAND must succeed.
check()
{
    text=$1
    shift
    "$@" || { echo "FAILED: $text"; failed=1; }
}
has() { grep -Eq -e "$2" "$1"; }
hasnt() { ! grep -E -e "$2" "$1"; }

list=$(mktemp)
trap 'rm -f "$list"' EXIT
readelf -hldW "$1" >"$list" || exit 1
check "a position-independent executable" has "$list" 'Type: +DYN'
check "relocations are read-only after the start" has "$list" 'GNU_RELRO'
check "all symbols are bound at the start" has "$list" 'BIND_NOW|FLAGS.*NOW'
check "no code on the stack" has "$list" 'GNU_STACK .* RW +0x'
check "no segment that is writable and holds code" hasnt "$list" '^ +LOAD .* RWE '

readelf --dyn-syms -W "$1" | awk '$7 == "UND" { sub(/@.*/, "", $8); print $8 }' >"$list"
check "the list of imports is one" has "$list" '^clCreateContext$'
check "guarded stack frames" has "$list" '^__stack_chk_fail$'
check "checked calls of libc" has "$list" '^__[a-z]+_chk$'
# fork alone: the runs of a study are processes of this program
check "no shell and no other program is started" hasnt "$list" '^(system|popen|vfork|clone|posix_spawnp?|execv?[a-z]*|execl[a-z]*|wordexp|dlopen)$'
exit $failed
