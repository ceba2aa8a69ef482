#!/bin/sh
# Debian packages of what git knows: they build, lintian finds no error, and what is in them works together.
# shellcheck source=test/packages/support.sh
. test/packages/support.sh
begin deb

if ! have dpkg-buildpackage || ! have dh || ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    skip "dpkg-buildpackage, debhelper (make deps-packages) or git's knowledge is missing"
    finish
    exit
fi

# The tests of the library run by themselves.
build()
{
    DEB_BUILD_OPTIONS="nocheck parallel=2" "$MAKE" deb
}
expect "make deb" build || { finish; exit; }
grep '^deb: .* left out' "$scratch/log"
packages="libbsq$ABI libbsq-dev bsq-tools"
if [ -d examples/python/bsq ]; then
    packages="$packages python3-bsq"
else
    skip "python3-bsq: there is no examples/python/bsq"
fi

unpack()
{
    dpkg-deb -x build/deb/"$1"_*.deb "$scratch/root"
}
for package in $packages; do
    expect "$package" unpack "$package"
done
folder=$scratch/root/usr/lib/$(dpkg-architecture -q DEB_HOST_MULTIARCH)
expect "the shared library" test -f "$folder/libbsq.so.$ABI"
expect "the link for developers" test -L "$folder/libbsq.so"
expect "CMake's files" test -f "$folder/cmake/bsq/bsq-config.cmake"
expect "the manual" test -f "$scratch/root/usr/share/man/man3/bsq_optimize.3.gz"
expect "the tool runs" "$scratch/root/usr/bin/bsq-layer" --version

host()
{
    # shellcheck disable=SC2046
    $CC -o "$scratch/quickstart" -Iexamples examples/quickstart.c "$BUILD/examples/libcommon.a" \
        $(PKG_CONFIG_PATH=$folder/pkgconfig PKG_CONFIG_SYSROOT_DIR='' $PKG_CONFIG --cflags --libs bsq) -lm &&
        LD_LIBRARY_PATH=$folder "$scratch/quickstart"
}
expect "a host builds and runs" host
if [ -d examples/python/bsq ]; then
    expect "the Python module runs on the library of its package" env LD_LIBRARY_PATH="$folder" \
        PYTHONPATH="$scratch/root/usr/lib/python3/dist-packages" PYTHONDONTWRITEBYTECODE=1 "$PYTHON" -c 'import bsq; print(bsq.__file__)'
    expect "the Python module brings no library" test -z "$(find "$scratch/root/usr/lib/python3" -name 'libbsq*')"
fi

if have lintian; then
    expect "lintian finds no error" lintian --fail-on error --allow-root build/deb/libbsq_*.changes
else
    skip "lintian is not installed (make deps-packages)"
fi

finish
