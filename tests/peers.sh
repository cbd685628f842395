#!/bin/sh
# bench/peers/run with a fake clnorm and a fake peer, which needs Python alone. 77: there is no Python.
# usage: sh tests/peers.sh DIR    (works in DIR, which it empties)
if ! command -v python3 >/dev/null; then
    echo "skipped: there is no python3"
    exit 77
fi
exec python3 -B "$(dirname "$0")/peers/test.py" "$1"
