#!/bin/sh
# A program of the first version runs with a library that has grown: every struct by a field, the calls by one in a
# version node of its own. The library is built once more for that, from the same sources and another header.
set -u

. test/expect

BUILD=${BUILD:-build} LIB=${LIB:-lib} ABI=${ABI:-$(cat src/ABI)} CC=${CC:-gcc} PKG_CONFIG=${PKG_CONFIG:-pkg-config}
scratch=$BUILD/grown
skipped=0

rm -rf "$scratch"
mkdir -p "$scratch/include" "$scratch/lib"
sed -e 's|^} \(bsq_[a-z_]*_t\);$|    int64_t grown; /* 0: as before */\n} \1;|' \
    -e 's|^BSQ_API int32_t BSQ_CALL bsq_version(void);|&\nBSQ_API int32_t BSQ_CALL bsq_grown(void);|' \
    include/bsq.h >"$scratch/include/bsq.h"
{
    cat src/bsq.map
    echo 'BSQ_0_1 { global: bsq_grown; } BSQ_0;'
} >"$scratch/bsq.map"
printf '#include "bsq.h"\n\nint32_t bsq_grown(void)\n{\n    return 1;\n}\n' >"$scratch/grown.c"

# Kernels know none of the structs: they are taken as they are.
build_grown()
{
    objects=
    flags="-std=c11 -D_POSIX_C_SOURCE=200809L -fPIC -fvisibility=hidden -ffp-contract=off -pthread -g -O1"
    for source in $(ls src/*/*.c | grep -v -e '^src/kernels/' -e '^src/mpi/') "$scratch/grown.c"; do
        object=$scratch/$(basename "$source" .c)_$(basename "$(dirname "$source")").o
        # shellcheck disable=SC2046,SC2086
        $CC $flags ${CFLAGS:-} -I"$scratch/include" -Isrc $($PKG_CONFIG --cflags openblas lapacke) -c -o "$object" \
            "$source" || return 1
        objects="$objects $object"
    done
    # shellcheck disable=SC2046,SC2086
    $CC -shared -pthread ${CFLAGS:-} ${LDFLAGS:-} -Wl,-soname,libbsq.so."$ABI" -Wl,--version-script="$scratch/bsq.map" \
        -o "$scratch/lib/libbsq.so.$ABI" $objects "$BUILD"/obj/src/kernels/*.o \
        $($PKG_CONFIG --libs openblas lapacke) -lm &&
        ln -sf libbsq.so."$ABI" "$scratch/lib/libbsq.so"
}

# run LIBRARY_FOLDER: what the program prints, kept in its folder.
run()
{
    LD_LIBRARY_PATH=$1 "$scratch/first" >"$scratch/$2"
}

exports_match()
{
    { cat test/abi/libbsq.symbols; echo bsq_grown; } | LC_ALL=C sort >"$scratch/expected"
    test/abi/exports "$scratch/lib/libbsq.so.$ABI" | diff -u "$scratch/expected" -
}

expect "the grown library is built" build_grown
expect "a program of the first version is built" $CC -std=c99 -Wall -Wextra -pedantic -Werror -Itest/abi/first \
    -o "$scratch/first" test/abi/first.c -L"$LIB" -lbsq
expect "it runs with the library of today" run "$LIB" today
expect "it runs with the grown library" run "$scratch/lib" grown
expect "both print the same" diff -u "$scratch/today" "$scratch/grown"
expect "a second version node is no harm" exports_match
if command -v abidiff >/dev/null; then
    expect "abidiff takes growth for growth" test/abi/compare "$LIB/libbsq.so.$ABI" "$scratch/lib/libbsq.so.$ABI" \
        --headers-dir1 include --headers-dir2 "$scratch/include"
else
    echo "grown: abidiff is not here (make deps-long)"
    skipped=$((skipped + 1))
fi

echo "grown: $passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
