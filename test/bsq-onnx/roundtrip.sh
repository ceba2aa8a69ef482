#!/bin/sh
# Tiny networks written in every format, against NumPy.
BUILD=${BUILD:-build} PYTHON=${PYTHON:-/usr/bin/python3}
if ! "$PYTHON" -c 'import numpy, onnx' 2>/dev/null; then
    echo "roundtrip: skipped, $PYTHON has no numpy or no onnx (make deps-onnx)"
    exit 0
fi
exec "$PYTHON" test/bsq-onnx/roundtrip.py "$BUILD/test/bsq-onnx/roundtrip" "$BUILD/test/bsq-onnx/files/roundtrip"
