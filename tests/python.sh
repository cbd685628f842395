#!/bin/sh
# A test in Python that needs PyTorch: sh tests/python.sh PYTHON SCRIPT ARGUMENT... The interpreter is $CLNORM_PYTHON where that
# is set, else PYTHON. 77: it cannot import what the test needs.
python=${CLNORM_PYTHON:-$1}
shift
if ! reason=$("$python" -c 'import numpy, safetensors.torch, torch' 2>&1); then
    echo "skipped: $python cannot import numpy, safetensors and torch ($(echo "$reason" | tail -n 1));" \
        "name another in CLNORM_PYTHON"
    exit 77
fi
exec "$python" -B "$@"
