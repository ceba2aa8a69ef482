#!/bin/sh
# What recipes of packages say is what the header and the ABI say.
# shellcheck source=test/packages/support.sh
. test/packages/support.sh
begin recipes

packaging=docs/packaging
version=$(sed -n 's/^#define BSQ_VERSION_STRING "\(.*\)"/\1/p' include/bsq.h)

vcpkg_version()
{
    "$PYTHON" -c 'import json, sys; print(json.load(open(sys.argv[1]))["version"])' $packaging/vcpkg/libbsq/vcpkg.json
}

if have "$PYTHON"; then
    expect "vcpkg has this version" prints "$version" vcpkg_version
else
    skip "vcpkg's version: there is no $PYTHON"
fi
expect "Debian's changelog has this version" \
    prints "$version" sed -n '1s/^libbsq (\(.*\)-[0-9]*) .*/\1/p' $packaging/debian/changelog
expect "the package of the library has the number of the ABI" grep -q -x "Package: libbsq$ABI" $packaging/debian/control
expect "its symbols are those of the ABI" grep -q -x "libbsq.so.$ABI libbsq$ABI #MINVER#" "$packaging/debian/libbsq$ABI.symbols"
expect "its symbols have the node of the map" grep -q "(symver)$(grep -o '^BSQ_[0-9]*' src/bsq.map)" \
    "$packaging/debian/libbsq$ABI.symbols"
expect "CHANGELOG.md has this version" grep -q "^## \[$version\]" CHANGELOG.md

# All that is installed for developers is in some package, so that a build does not stop at what is left over.
installed()
{
    "$MAKE" install-library install-tools install-man DESTDIR="$stage" PREFIX=/usr libdir=/usr/lib/some-arch >/dev/null || return 1
    (cd "$stage" && find . -type f -o -type l) | sed 's|^\./||' | while read -r file; do
        cat $packaging/debian/*.install | while read -r pattern; do
            # shellcheck disable=SC2254
            case $file in $pattern | $pattern/*) echo found ;; esac
        done | grep -q found || echo "$file"
    done >"$scratch/left"
    ! grep . "$scratch/left"
}
expect "everything that is installed is in a package of Debian" installed

finish
