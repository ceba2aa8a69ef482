#!/bin/sh
# The tests of the Python package, with what is installed; the last line names what was left out.
#
#     test/python/check.sh [all]     all: whole networks, wheels and type checks, too
set -u

PYTHON=${PYTHON:-/usr/bin/python3} LIB=${LIB:-lib} BUILD=${BUILD:-build}
log=$BUILD/log/python.txt
if ! "$PYTHON" -c 'import numpy, pytest' 2>/dev/null; then
    echo "python: skipped, $PYTHON has no numpy or no pytest (make deps-python)"
    exit 0
fi

left=
for module in torch torchvision mypy build tqdm matplotlib; do
    "$PYTHON" -c "import $module" 2>/dev/null || left="$left $module"
done
[ -z "$left" ] || left=", left out what needs$left (make deps-python)"
if [ "${1:-}" = all ]; then
    set --
else
    set -- --ignore=test/python/test_networks.py --ignore=test/python/test_package.py
    left="$left; whole networks, wheels and types: make check-python"
fi

mkdir -p "$BUILD/log"
BSQ_LIBRARY=$(cd "$LIB" && pwd)/libbsq.so
PYTHONDONTWRITEBYTECODE=1 OPENBLAS_NUM_THREADS=1
export BSQ_LIBRARY PYTHONDONTWRITEBYTECODE OPENBLAS_NUM_THREADS
"$PYTHON" -m pytest -q -rs -p no:cacheprovider "$@" test/python >"$log" 2>&1
status=$?
if [ $status -ne 0 ]; then
    cat "$log"
else
    grep '^SKIPPED' "$log"
fi
echo "python: $(tail -n 1 "$log" | sed 's/^=* *//; s/ *=*$//')$left"
exit $status
