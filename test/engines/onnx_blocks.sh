#!/bin/sh
# Tensors that are packed for ONNX, in ONNX Runtime.
BUILD=${BUILD:-build} ENGINES=${ENGINES:-$BUILD/engines}
if ! command -v node >/dev/null || [ ! -d "$ENGINES/node_modules/onnxruntime-node" ]; then
    echo "onnx_blocks: skipped, there is no node, or $ENGINES has no onnxruntime-node (make deps-engines)"
    exit 0
fi
"$BUILD/test/engines/write_cases" "$BUILD/test/engines/cases" >/dev/null || exit 1
exec node test/engines/onnx_blocks.js "$ENGINES" "$BUILD/test/engines/cases"
