#!/bin/sh
# The program as its user sees it, on a network and samples that are made here.
BUILD=${BUILD:-build} PYTHON=${PYTHON:-/usr/bin/python3}
if ! "$PYTHON" -c 'import numpy, onnx' 2>/dev/null; then
    echo "bsq-onnx: skipped, $PYTHON has no numpy or no onnx (make deps-onnx)"
    exit 0
fi
exec "$PYTHON" test/bsq-onnx/program.py "$BUILD/examples/bsq-onnx" "$BUILD/test/bsq-onnx/files/program" "${SHARED_DATA:-../shared}"
