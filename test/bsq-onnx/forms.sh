#!/bin/sh
# Layers of other kinds and files of other forms, against NumPy.
BUILD=${BUILD:-build} PYTHON=${PYTHON:-/usr/bin/python3}
if ! "$PYTHON" -c 'import numpy, onnx' 2>/dev/null; then
    echo "bsq-onnx, forms: skipped, $PYTHON has no numpy or no onnx (make deps-onnx)"
    exit 0
fi
exec "$PYTHON" test/bsq-onnx/forms.py "$BUILD/examples/bsq-onnx" "$BUILD/test/bsq-onnx/files/forms"
