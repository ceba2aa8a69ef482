#!/bin/sh
# Packed tensors, read by NumPy.
BUILD=${BUILD:-build} PYTHON=${PYTHON:-/usr/bin/python3}
if ! "$PYTHON" -c 'import numpy' 2>/dev/null; then
    echo "formats: skipped, $PYTHON has no numpy (make deps)"
    exit 0
fi
exec "$PYTHON" test/formats.py "$BUILD/test/engines/write_cases" "$BUILD/test/engines/cases"
