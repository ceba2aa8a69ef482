# What the scripts of this folder share: counting, and a tree that holds what `make install` puts there.
set -u

. test/expect

BUILD=${BUILD:-build} LIB=${LIB:-lib} ABI=${ABI:-$(cat src/ABI)} CC=${CC:-gcc} CXX=${CXX:-g++} MAKE=${MAKE:-make}
PYTHON=${PYTHON:-/usr/bin/python3} PKG_CONFIG=${PKG_CONFIG:-pkg-config}
LC_ALL=C.UTF-8
export LC_ALL
skipped=0

# begin NAME: an empty folder for this script, and a stage within it.
begin()
{
    name=$1
    scratch=$(mkdir -p "$BUILD" && cd "$BUILD" && pwd)/packages/$name
    rm -rf "$scratch"
    mkdir -p "$scratch"
    stage=$scratch/stage root=$scratch/stage/opt/bsq
}

# refused WHAT TEXT COMMAND...: the command fails, and says TEXT, wherever it breaks its lines.
refused()
{
    what=$1 text=$2
    shift 2
    if "$@" >"$scratch/log" 2>&1 || ! tr -s ' \n' ' ' <"$scratch/log" | grep -q -e "$text"; then
        cat "$scratch/log"
        echo "failed: $what"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
}

skip()
{
    echo "skipped: $1"
    skipped=$((skipped + 1))
}

have()
{
    command -v "$1" >/dev/null
}

prints()
{
    wanted=$1
    shift
    [ "$("$@")" = "$wanted" ] || { "$@"; return 1; }
}

finish()
{
    echo "$name: $passed passed, $failed failed, $skipped skipped"
    [ $failed -eq 0 ]
}
