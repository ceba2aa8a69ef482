#!/bin/sh
# The source archive: the same bytes each time, complete enough to build and install, and to be built by the recipes of
# vcpkg and Conan, which run here with stand-ins for these tools.
# shellcheck source=test/packages/support.sh
. test/packages/support.sh
begin dist

if ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    skip "this is no git work tree"
    finish
    exit
fi
version=$(sed -n 's/^#define BSQ_VERSION_STRING "\(.*\)"/\1/p' include/bsq.h)
archive=build/dist/libbsq-$version.tar.gz
tree=$scratch/libbsq-$version

expect "make dist" "$MAKE" dist || { finish; exit; }
cp "$archive" "$scratch/first.tar.gz"
expect "make dist again, later and by another user's habits" env TZ=Pacific/Auckland sh -c "umask 077; '$MAKE' dist"
expect "the same bytes" cmp "$scratch/first.tar.gz" "$archive"

tar -xzf "$archive" -C "$scratch"
same_files()
{
    git ls-tree -r --name-only HEAD | sort >"$scratch/known"
    (cd "$tree" && find . -type f -o -type l) | sed 's|^\./||' | sort | diff "$scratch/known" -
}
expect "it has what git knows" same_files

# As a user does it, who has no git and no flags of ours.
in_tree()
{
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u BUILD -u LIB -u CFLAGS make -C "$tree" "$@"
}
expect "it builds and installs" in_tree -j2 install DESTDIR="$stage" PREFIX=/opt/bsq
expect "the installed tool runs" prints "bsq-layer $version" "$root/bin/bsq-layer" --version
refused "no archive of an archive" "no git work tree" env GIT_CEILING_DIRECTORIES="$scratch" make -C "$tree" dist

conan()
{
    rm -rf "$scratch/conan" && env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u BUILD -u LIB -u CFLAGS PYTHONDONTWRITEBYTECODE=1 \
        "$PYTHON" test/packages/conan.py "$tree/docs/packaging/conan/conanfile.py" "$scratch/conan" "$2" "$1"
}
# In the tree that is built already, then what the recipe takes along is looked at.
expect "Conan, shared" conan shared "$tree" && expect "Conan, shared: the library" test -f "$scratch/conan/package/lib/libbsq.so.$ABI"
expect "Conan takes along what a build needs" in_tree -C "$scratch/conan/exported" -n lib/libbsq.a
expect "Conan, static" conan static "$tree" && expect "Conan, static: the library" test -f "$scratch/conan/package/lib/libbsq.a" &&
    expect "Conan, static: no other" test ! -e "$scratch/conan/package/lib/libbsq.so"

vcpkg()
{
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u BUILD -u LIB -u CFLAGS cmake -DPORT="$tree/docs/packaging/vcpkg/libbsq" \
        -DWORK="$scratch/vcpkg" -DLINKAGE="$1" -P test/packages/vcpkg.cmake
}
if have cmake; then
    package=$scratch/vcpkg/packages/libbsq_test-linux
    expect "vcpkg, static" vcpkg static
    for file in lib/libbsq.a include/bsq.h share/bsq/bsq-config.cmake share/libbsq/copyright; do
        expect "vcpkg: $file" test -f "$package/$file"
    done
    expect "vcpkg, static: no other library" test ! -e "$package/lib/libbsq.so"
    expect "vcpkg, dynamic" vcpkg dynamic && expect "vcpkg: the shared library" test -f "$package/lib/libbsq.so.$ABI"
else
    skip "vcpkg's recipe: CMake is not installed (make deps-packages)"
fi

finish
