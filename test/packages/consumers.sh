#!/bin/sh
# Builds hosts against an installed tree as CMake and Meson do it: find_package, shared and static, and pkg-config.
# shellcheck source=test/packages/support.sh
. test/packages/support.sh
begin consumers

# A host in C and one in C++ that link to the target that they are told.
mkdir -p "$scratch/cmake" "$scratch/meson"
cat >"$scratch/cmake/host.c" <<'END'
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
cat >"$scratch/cmake/host.cpp" <<'END'
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
cat >"$scratch/cmake/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.13)
project(host C CXX)
find_package(bsq ${WANTED} REQUIRED COMPONENTS ${COMPONENTS})
find_package(bsq REQUIRED)
if(prefix OR bsq_prefix)
  message(FATAL_ERROR "the package left variables behind")
endif()
message(STATUS "bsq ${bsq_VERSION}")
set(CMAKE_CXX_STANDARD 17)
add_executable(host_c host.c)
add_executable(host_cpp host.cpp)
target_link_libraries(host_c PRIVATE ${TARGET})
target_link_libraries(host_cpp PRIVATE ${TARGET})
install(TARGETS host_c DESTINATION bin)
END
cp "$scratch/cmake/host.c" "$scratch/meson/host.c"
cat >"$scratch/meson/meson.build" <<'END'
project('host', 'c', default_options : ['c_std=c99', 'warning_level=3', 'werror=true'])
bsq = dependency('bsq', version : '>= 0.1')
executable('host', 'host.c', dependencies : bsq)
END

expect "make install" "$MAKE" install-library DESTDIR="$stage" PREFIX=/opt/bsq || { finish; exit; }
version=$(sed -n 's/^Version: //p' "$root/lib/pkgconfig/bsq.pc")
says="$version 7 -7 0 3"

# The library as it is installed has nothing that only a debugger reads, unless asked for.
no_debug()
{
    ! readelf -S "$1" | grep '[.]debug_'
}

expect "the shared library has no debug information" no_debug "$root/lib/libbsq.so.$ABI"
expect "the static library has no debug information" no_debug "$root/lib/libbsq.a"
keeps_debug()
{
    "$MAKE" install-library DESTDIR="$scratch/whole" PREFIX=/opt/bsq "$1" && cmp "$2" "$scratch/whole/opt/bsq/lib/libbsq.so.$ABI"
}
expect "INSTALL_DEBUG=1 installs the library as it was built" keeps_debug INSTALL_DEBUG=1 "$LIB/libbsq.so.$ABI"
expect "STRIP= installs the library as it was built" keeps_debug STRIP= "$LIB/libbsq.so.$ABI"
rm -rf "$scratch/whole"

# configure FOLDER OPTION...: a build tree for the CMake project.
configure()
{
    folder=$scratch/$1
    shift
    cmake -S "$scratch/cmake" -B "$folder" -DCMAKE_PREFIX_PATH="$root" -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" "$@"
}

needs_library()
{
    readelf -d "$1" | grep -q "NEEDED.*libbsq.so.$ABI"
}

needs_none()
{
    ! needs_library "$1"
}

# built FOLDER: both programs are there and print what they should.
built()
{
    expect "$1: build" cmake --build "$scratch/$1" || return 0
    expect "$1: the host in C runs" prints "$says" "$scratch/$1/host_c"
    expect "$1: the host in C++ runs" prints "$says" "$scratch/$1/host_cpp"
}

if have cmake; then
    expect "find_package" configure default -DTARGET=bsq::bsq -DWANTED="$version" && built default
    expect "bsq::bsq is the shared library" needs_library "$scratch/default/host_c"
    if echo 'int main(void) { return 0; }' | $CC -x c -o "$scratch/empty" - -lopenblas -llapacke 2>/dev/null; then
        expect "find_package, static" configure static -DTARGET=bsq::bsq -DCOMPONENTS=static && built static
        expect "bsq::bsq is the static library where it was asked for" needs_none "$scratch/static/host_c"
        expect "both in one project" configure both '-DTARGET=bsq::shared' '-DCOMPONENTS=shared;static' && built both
    else
        skip "CMake, static: no OpenBLAS or LAPACKE to link to"
    fi
    refused "a version to come" "compatible with requested version" configure refused -DTARGET=bsq::bsq -DWANTED=0.99
    refused "a version of another series" "compatible with requested version" configure refused -DTARGET=bsq::bsq -DWANTED=0.0.1
    refused "a component that is not known" "component 'fortran' is missing" configure refused -DTARGET=bsq::bsq -DWANTED= -DCOMPONENTS=fortran
    # The tree may be moved, and lie behind a link above which is nothing else.
    mv "$root" "$scratch/moved" && mkdir -p "$scratch/link" && ln -s ../moved/lib "$scratch/link/lib"
    expect "find_package in a moved tree, by way of a link" configure moved -DTARGET=bsq::bsq \
        -DCMAKE_PREFIX_PATH="$scratch/link" && built moved
    rm "$scratch/moved/lib/libbsq.a"
    refused "a static library that is gone" "There is no .*libbsq.a" configure moved -DCOMPONENTS=static
    mkdir -p "$(dirname "$root")" && cp -a "$scratch/moved" "$root"
    [ -f "$root/lib/libbsq.a" ] || cp "$LIB/libbsq.a" "$root/lib"
else
    skip "CMake is not installed (make deps-packages)"
fi

setup_meson()
{
    PKG_CONFIG_PATH=$root/lib/pkgconfig CC=$CC meson setup "$scratch/meson-build" "$scratch/meson"
}

if have meson && have ninja; then
    expect "Meson" setup_meson && expect "Meson: build" ninja -C "$scratch/meson-build" &&
        expect "Meson: run" prints "$says" env LD_LIBRARY_PATH="$root/lib" "$scratch/meson-build/host"
else
    skip "Meson is not installed (make deps-packages)"
fi

finish
