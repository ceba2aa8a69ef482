#!/bin/sh
# Runs the examples as a reader would: each ends well and has something to say.
set -u

BUILD=${BUILD:-build} LIB=${LIB:-lib} PYTHON=${PYTHON:-/usr/bin/python3}
SAMPLES=${SAMPLES:-$BUILD/examples/quickstart $BUILD/examples/groups $BUILD/examples/conv $BUILD/examples/shards $BUILD/examples/attention}
CPP_SAMPLES=${CPP_SAMPLES:-$BUILD/examples/cpp/quickstart}
log=$BUILD/examples.log
passed=0 failed=0 skipped=0

sample()
{
    if "$@" >"$log" 2>&1 && [ -s "$log" ]; then
        passed=$((passed + 1))
    else
        cat "$log"
        echo "failed: $*"
        failed=$((failed + 1))
    fi
}

for program in $SAMPLES; do
    sample "$program"
done
for program in $CPP_SAMPLES; do
    sample "$program"
done
if "$PYTHON" -c 'import numpy' 2>/dev/null; then
    sample env BSQ_LIBRARY="$LIB/libbsq.so" "$PYTHON" examples/python/quickstart.py
else
    echo "skipped: $PYTHON has no numpy"
    skipped=$((skipped + 1))
fi

echo "examples: $passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
