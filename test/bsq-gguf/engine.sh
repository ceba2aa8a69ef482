#!/bin/sh
# bsq-gguf beside unmodified llama.cpp: tokens, predictions, blocks; then files that it writes, loaded by the engine.
set -u

BUILD=${BUILD:-build} SHARED_DATA=${SHARED_DATA:-../shared}
LLAMA=${LLAMA:-$BUILD/engines/llama/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64}
if [ ! -e "$LLAMA/libggml-base.so" ]; then
    echo "bsq-gguf in llama.cpp: skipped, $LLAMA has no libggml-base.so (make deps-engines)"
    exit 0
fi
CK_FORK=no LLAMA_LIBRARIES=$LLAMA "$BUILD/test/bsq-gguf/check_engine" || exit 1
if [ ! -e "$SHARED_DATA/models/bytes_llama.gguf" ]; then
    echo "bsq-gguf in llama.cpp: files skipped, there is no $SHARED_DATA/models/bytes_llama.gguf"
    exit 0
fi
model=$SHARED_DATA/models/bytes_llama.gguf files=
for type in ${TYPES:-Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS TQ2_0 MXFP4}; do
    effort=0
    if [ "$type" = Q4_K ] || [ "$type" = MXFP4 ]; then effort=1; fi
    out=$BUILD/test/bsq-gguf/files/bytes-$type.gguf
    "$BUILD/bin/bsq-gguf" "$model" --text "$SHARED_DATA/text/calibration.txt" --context 256 --sequences 4 --effort "$effort" \
        --type "$type" -o "$out" --quiet >/dev/null || exit 1
    files="$files $out"
done
# shellcheck disable=SC2086
"$BUILD/test/bsq-gguf/judge" "$LLAMA" "$SHARED_DATA/text/eval.txt" 256 16 "$model" $files || exit 1
echo "bsq-gguf in llama.cpp: every type loads, losses are ours"
