#!/bin/sh
# GGUF's blocks in llama.cpp's own library.
BUILD=${BUILD:-build} LLAMA=${LLAMA:-$BUILD/engines/llama/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64}
if [ ! -e "$LLAMA/libggml-base.so" ]; then
    echo "llama: skipped, $LLAMA has no libggml-base.so (make deps-engines)"
    exit 0
fi
exec "$BUILD/test/engines/check_llama" "$LLAMA/libggml-base.so"
