#!/bin/sh
# Weights that several layers share, through bsq-onnx and back to NumPy.
BUILD=${BUILD:-build} PYTHON=${PYTHON:-/usr/bin/python3}
if ! "$PYTHON" -c 'import numpy, onnx' 2>/dev/null; then
    echo "bsq-onnx, shared weights: skipped, $PYTHON has no numpy or no onnx (make deps-onnx)"
    exit 0
fi
exec "$PYTHON" test/bsq-onnx/shared_weights.py "$BUILD/examples/bsq-onnx" "$BUILD/test/bsq-onnx/files/shared-weights"
