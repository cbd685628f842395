#!/usr/bin/env bash
# Tries README.md's two lines on fresh machines: roots of Debian 12 made by debootstrap, with only the base system.
#   1. as root, without sudo: the first line must end with a model trained with layer norm on the bundled sample
#   2. as a user with sudo: the second line must end with all tests passed
# Usage, as root: tests/fresh-machine.sh [--keep]
# It works in a new folder under $TMPDIR (/tmp) that needs 6 GB, and removes it at the end unless --keep is given. What is
# tried is the working tree, uncommitted files included. Packages come from where this machine's apt gets them.
set -euo pipefail

keep=
case ${1:-} in
--keep) keep=yes ;;
"") ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
fail()
{
    echo "fresh-machine: $*" >&2
    exit 1
}
[ "$(id -u)" -eq 0 ] || fail "chroot needs root"
for tool in debootstrap unshare git; do
    command -v $tool >/dev/null || fail "$tool is missing: apt-get install $tool"
done
# Mounts in a name space of our own go away with it, whatever happens.
if [ -z "${FRESH_MACHINE_UNSHARED:-}" ]; then
    FRESH_MACHINE_UNSHARED=yes exec unshare --mount --propagation private "$0" "$@"
fi

cd "$(dirname "$0")/.."
base=$(mktemp -d "${TMPDIR:-/tmp}/fresh-machine.XXXXXX")
umask 022
chmod 755 "$base"
at_exit()
{
    for root in "$base"/root-*; do
        umount "$root/proc" "$root/sys" 2>/dev/null || :
    done
    if [ -n "$keep" ]; then echo "kept: $base"; else rm -rf --one-file-system "$base"; fi
}
trap at_exit EXIT
trap 'exit 1' INT TERM HUP

# ---- a base system, from the mirror and through the proxy that this machine's apt is set up with
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' |
    awk '$2 == "bookworm" && $3 == "main" { print $1; exit }')
[ -n "$mirror" ] || fail "this machine's apt has no source of Debian 12 (bookworm, main)"
proxy=$(apt-config shell p Acquire::http::Proxy | sed "s/^p='\(.*\)'$/\1/")
if [ -n "$proxy" ] && [ "$proxy" != DIRECT ]; then
    export http_proxy="$proxy"
fi
include=
case $mirror in https:*) include=--include=ca-certificates ;; esac
echo "---- base system"
# shellcheck disable=SC2086 # none or one word
debootstrap --variant=minbase $include bookworm "$base/root-1" "$mirror" >"$base/debootstrap.log" 2>&1 ||
    { tail -20 "$base/debootstrap.log" >&2; fail "debootstrap failed"; }
apt-config dump | grep -E '^Acquire::(https?|Check|Retries|ForceIPv4)' >"$base/root-1/etc/apt/apt.conf.d/99host" || :
if [ -n "$include" ]; then
    cp -rL /etc/ssl/certs "$base/root-1/etc/ssl/"
fi
rm -f "$base"/root-1/var/cache/apt/archives/*.deb
cp -a "$base/root-1" "$base/root-2"

# ---- helpers
readme_line() # N: the N-th block of README.md that is fenced by ```sh
{
    awk -v n="$1" '/^```/ { if (inside) inside = 0; else if ($0 == "```sh") { inside = 1; k++ } next } inside && k == n' \
        README.md
}
enter() # ROOT: what a running machine has mounted, and the checkout in /clnorm
{
    mount -t proc proc "$1/proc"
    mount -t sysfs -o ro sysfs "$1/sys"
    mkdir "$1/clnorm"
    git -c safe.directory="$PWD" ls-files -z --cached --others --exclude-standard |
        while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
        tar --create --null --no-recursion --files-from=- | tar --extract --no-same-owner --directory "$1/clnorm"
}
in_root() # ROOT USER LINE
{
    chroot "$1" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb LANG=C.UTF-8 \
        http_proxy="${http_proxy:-}" DEBIAN_FRONTEND=noninteractive \
        su "$2" -s /bin/sh --preserve-environment -c "export HOME=~ && cd /clnorm && $3" </dev/null
}
try() # ROOT USER N: runs README's N-th line, shows its end
{
    local begin=$SECONDS log=$base/line-$3.log line
    line=$(readme_line "$3")
    [ -n "$line" ] || fail "README.md has no block $3"
    echo "---- line $3, as $2: $line"
    if ! in_root "$1" "$2" "$line" >"$log" 2>&1; then
        tail -60 "$log"
        fail "line $3 failed"
    fi
    tail -25 "$log"
    echo "---- line $3: $((SECONDS - begin)) s"
}

# ---- 1. as root
root=$base/root-1
enter "$root"
[ ! -e "$root/usr/bin/sudo" ] || fail "sudo is there: no base system"
try "$root" root 1
run=$(find "$root/clnorm/runs" -name summary.json -printf '%h\n')
[ "$(printf '%s\n' "$run" | wc -l)" -eq 1 ] && [ -n "$run" ] || fail "the first line left not one run, but: $run"
[ -s "$run/model.safetensors" ] || fail "the first line left no model"
grep -q '"norm": "ln"' "$run/summary.json" || fail "the model's norm is not ln"
cat "$run/summary.json"

# ---- 2. as a user with sudo
root=$base/root-2
enter "$root"
in_root "$root" root 'apt-get update && apt-get install -y --no-install-recommends sudo' >"$base/sudo.log" 2>&1 ||
    { tail -20 "$base/sudo.log" >&2; fail "sudo cannot be installed"; }
in_root "$root" root 'useradd --create-home tester && chown -R tester: /clnorm'
echo 'tester ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/tester"
chmod 440 "$root/etc/sudoers.d/tester"
try "$root" tester 2
grep -q '100% tests passed, 0 tests failed' "$base/line-2.log" || fail "the second line did not end green"
echo "---- both lines work on a fresh machine ($SECONDS s)"
