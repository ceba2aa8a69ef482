#!/bin/sh
# Installs into a staged tree, builds programs against it with pkg-config alone, and takes everything away again.
set -u

BUILD=${BUILD:-build} ABI=${ABI:-$(cat src/ABI)} CC=${CC:-gcc} CXX=${CXX:-g++} MAKE=${MAKE:-make} PKG_CONFIG=${PKG_CONFIG:-pkg-config}
stage=$(mkdir -p "$BUILD" && cd "$BUILD" && pwd)/stage
passed=0 failed=0 skipped=0

# expect WHAT COMMAND...
expect()
{
    what=$1
    shift
    if "$@" >"$stage.log" 2>&1; then
        passed=$((passed + 1))
    else
        cat "$stage.log"
        echo "failed: $what"
        failed=$((failed + 1))
    fi
}

skip()
{
    echo "skipped: $1"
    skipped=$((skipped + 1))
}

# flags DIRECTORY WHAT...: what pkg-config says about libbsq, asked in the staged tree first.
flags()
{
    directory=$1
    shift
    PKG_CONFIG_PATH=$directory $PKG_CONFIG bsq "$@"
}

leaves_nothing()
{
    left=$(find "$1" -type f -o -type l)
    [ -z "$left" ] || { echo "$left"; return 1; }
}

# No dynamic tag that names a folder where things were built.
runs_on_its_own()
{
    ! readelf -d "$1" | grep -E 'RPATH|RUNPATH|libbsq'
}

prints_version()
{
    [ "$("$@")" = "$version 7 -7 0 3" ] || { "$@"; return 1; }
}

rm -rf "$stage"
mkdir -p "$stage"
cat >"$stage.c" <<'END'
#include <bsq.h>
#include <stdio.h>

int main(void)
{
    const float weights[4] = {7.0f, -7.0f, 0.4f, 3.0f};
    bsq_layer_desc_t desc;
    bsq_options_t options;
    bsq_layer_t *layer;
    int8_t codes[4];

    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = 4;
    desc.out_channels = 1;
    bsq_options_init(&options, sizeof options);
    options.solver = BSQ_SOLVER_ROUND;
    if (bsq_layer_create(&desc, &options, weights, NULL, &layer, NULL) || bsq_optimize(layer, NULL) ||
        bsq_layer_get_codes(layer, codes, 4))
        return 1;
    printf("%s %d %d %d %d\n", bsq_version_string(), codes[0], codes[1], codes[2], codes[3]);
    bsq_layer_free(layer);
    return bsq_version() != BSQ_VERSION;
}
END

cat >"$stage.cpp" <<'END'
#include <bsq.hpp>
#include <cstdio>

int main()
{
    const float weights[4] = {7.0f, -7.0f, 0.4f, 3.0f};
    bsq::options options;
    options.solver = bsq::solver::round;
    bsq::layer layer(bsq::layer_desc().set_in_channels(4).set_out_channels(1), options, weights);
    layer.optimize();
    const auto codes = layer.codes();
    std::printf("%s %d %d %d %d\n", bsq::version_string(), codes[0], codes[1], codes[2], codes[3]);
}
END

expect "make install" $MAKE install DESTDIR="$stage" PREFIX=/opt/bsq
root=$stage/opt/bsq
for file in lib/libbsq.a lib/libbsq.so lib/libbsq.so."$ABI" include/bsq.h include/bsq.hpp lib/pkgconfig/bsq.pc bin/bsq-layer \
    share/doc/libbsq/LICENSE share/man/man1/bsq-layer.1 share/man/man3/bsq_optimize.3 lib/cmake/bsq/bsq-config.cmake; do
    expect "$file is installed" test -f "$root/$file"
done
expect "the symbolic link is relative" test "$(readlink "$root/lib/libbsq.so")" = "libbsq.so.$ABI"

version=$(flags "$root/lib/pkgconfig" --modversion)
# shellcheck disable=SC2046
expect "build with the shared library" $CC -std=c99 -Wall -Wextra -pedantic -Werror \
    $(flags "$root/lib/pkgconfig" --cflags) -o "$stage/shared" "$stage.c" $(flags "$root/lib/pkgconfig" --libs)
expect "run with the shared library" prints_version env LD_LIBRARY_PATH="$root/lib" "$stage/shared"
# shellcheck disable=SC2046
expect "build in C++ with the shared library" "$CXX" -std=c++17 -Wall -Wextra -pedantic -Werror \
    $(flags "$root/lib/pkgconfig" --cflags) -o "$stage/shared_cpp" "$stage.cpp" $(flags "$root/lib/pkgconfig" --libs)
expect "run in C++ with the shared library" prints_version env LD_LIBRARY_PATH="$root/lib" "$stage/shared_cpp"
case $(flags "$root/lib/pkgconfig" --libs) in
*openblas*) expect "a host names no OpenBLAS" false ;;
*) passed=$((passed + 1)) ;;
esac

# A host of the shared library needs no file of OpenBLAS or LAPACKE, and gets nothing of theirs.
alone()
{
    PKG_CONFIG_LIBDIR=$root/lib/pkgconfig PKG_CONFIG_PATH='' $PKG_CONFIG --print-errors --cflags --libs bsq
}

gets_nothing_else()
{
    [ "$(alone | tr -s ' ' '\n' | grep -v -e '^$' -e "^-I$root" -e "^-L$root" -e '^-lbsq$')" = "" ]
}

cflags_stay_inside()
{
    ! flags "$root/lib/pkgconfig" --cflags | tr ' ' '\n' | grep '^-I' | grep -v "$root"
}

expect "pkg-config needs no other .pc file" alone
expect "pkg-config names nothing else" gets_nothing_else
expect "include folders are those of libbsq" cflags_stay_inside

# libbsq alone static: OpenBLAS, as a shared library, brings its own.
# shellcheck disable=SC2046
expect "build with the static library" $CC $(flags "$root/lib/pkgconfig" --cflags) -o "$stage/static" "$stage.c" \
    $(flags "$root/lib/pkgconfig" --libs lapacke openblas | sed 's/-lbsq/-l:libbsq.a/') -lm
expect "run with the static library" prints_version "$stage/static"
expect "the static program does not need the shared library" runs_on_its_own "$stage/static"

# Everything static, as `--static` means it; the Fortran runtime comes with OpenBLAS's own needs.
# shellcheck disable=SC2046
if echo 'int main(void) { return 0; }' | $CC -static -x c -o "$stage/empty" - -lopenblas -lgfortran -lm 2>/dev/null; then
    expect "build all static" $CC -static $(flags "$root/lib/pkgconfig" --cflags) -o "$stage/whole" "$stage.c" \
        $(flags "$root/lib/pkgconfig" --static --libs)
    expect "run all static" prints_version "$stage/whole"
else
    skip "all static: no static C or Fortran runtime here"
fi

expect "the tool does not need the tree" runs_on_its_own "$root/bin/bsq-layer"
expect "the tool runs" env -i "$root/bin/bsq-layer" --help
rm -f "$stage/shared" "$stage/shared_cpp" "$stage/static" "$stage/whole" "$stage/empty"
expect "make uninstall" $MAKE uninstall DESTDIR="$stage" PREFIX=/opt/bsq
expect "uninstall leaves nothing" leaves_nothing "$stage"

# As a distribution does it: the library in a folder of its architecture.
set -- DESTDIR="$stage" PREFIX=/usr libdir=/usr/lib/some-arch docdir=/usr/share/doc/bsq
expect "make install with libdir" $MAKE install "$@"
expect "libdir in the .pc file" \
    test "$(realpath "$(flags "$stage/usr/lib/some-arch/pkgconfig" --variable=libdir)")" = "$stage/usr/lib/some-arch"
expect "includedir in the .pc file" \
    test "$(realpath "$(flags "$stage/usr/lib/some-arch/pkgconfig" --variable=includedir)")" = "$stage/usr/include"
expect "docdir" test -f "$stage/usr/share/doc/bsq/LICENSE"
expect "make uninstall with libdir" $MAKE uninstall "$@"
expect "uninstall with libdir leaves nothing" leaves_nothing "$stage"

echo "install: $passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
