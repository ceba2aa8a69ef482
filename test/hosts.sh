#!/bin/sh
# A result that one program saves and another loads, judges and packs: in C99, and in C++20.
set -u

. test/expect

BUILD=${BUILD:-build} LIB=${LIB:-lib} CC=${CC:-gcc}
scratch=$BUILD/hosts
skipped=0
mkdir -p "$scratch"

strict="-Wall -Wextra -Wshadow -Werror -pedantic -Iinclude -Iexamples"

# build OUTPUT COMPILER... SOURCES: what it makes of them runs with the library where it was built.
build()
{
    output=$1
    shift
    # shellcheck disable=SC2086
    "$@" $strict ${CFLAGS:-} ${LDFLAGS:-} -o "$scratch/$output" -L"$LIB" -lbsq -Wl,-rpath,"$(cd "$LIB" && pwd)" -lm
}

# prints PROGRAM: the error that 'save' had reported, and the size of 32 x 80 codes of 4 bits.
prints()
{
    { cat "$scratch/saved"; echo '1280 bytes of onnx_int4'; } >"$scratch/expected"
    "$scratch/$1" "$scratch/tensor" >"$scratch/loaded" && diff -u "$scratch/expected" "$scratch/loaded"
}

save()
{
    "$scratch/save" "$scratch/tensor" >"$scratch/saved"
}

refuses()
{
    head -c 200 "$scratch/tensor" >"$scratch/short"
    ! "$scratch/$1" "$scratch/short"
}

for program in save load; do
    expect "$program.c in C99" build $program "$CC" -std=c99 examples/$program.c examples/common/synthetic.c
done
expect "a tensor is saved" save
expect "it is loaded, judged and packed in C" prints load
expect "a file that is too short is refused" refuses load
compiler=g++
case $CC in *clang*) compiler=clang++ ;; esac
if command -v $compiler >/dev/null; then
    expect "synthetic numbers" "$CC" -std=c99 -Iexamples -c -o "$scratch/synthetic.o" examples/common/synthetic.c
    expect "load.cpp in C++20" build load_cpp $compiler -std=c++20 examples/cpp/load.cpp "$scratch/synthetic.o"
    expect "it is loaded, judged and packed in C++" prints load_cpp
    expect "a file that is too short is refused in C++" refuses load_cpp
else
    echo "hosts: $compiler is not here"
    skipped=$((skipped + 1))
fi

echo "hosts: $passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
