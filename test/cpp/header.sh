#!/bin/sh
# bsq.hpp alone: in every language version, with every warning, by each compiler; with and without exceptions in one
# program; nothing of bsq.h is missing in it.
set -u

BUILD=${BUILD:-build} LIB=${LIB:-lib}
scratch=$BUILD/cpp
passed=0 failed=0 skipped=0
mkdir -p "$scratch"
LC_ALL=C
export LC_ALL
warnings="-Wall -Wextra -Wpedantic -pedantic-errors -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Werror"

# expect WHAT COMMAND...: the command succeeds.
expect()
{
    what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        echo "failed: $what"
        failed=$((failed + 1))
    fi
}

# refused WHAT LINE: a program with this line does not compile.
refused()
{
    printf '#include <bsq.hpp>\nint main()\n{\n    %s\n}\n' "$2" >"$scratch/refused.cpp"
    if ${CXX:-g++} -std=c++17 -Iinclude -fsyntax-only "$scratch/refused.cpp" 2>"$scratch/refused.log"; then
        echo "failed: $1 compiles"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
}

echo '#include "bsq.hpp"' >"$scratch/alone.cpp"
for compiler in g++ clang++; do
    if ! command -v $compiler >/dev/null; then
        skipped=$((skipped + 1))
        continue
    fi
    for standard in c++17 c++20 c++2b; do
        for exceptions in -fexceptions -fno-exceptions; do
            # shellcheck disable=SC2086
            expect "bsq.hpp alone, $compiler $standard $exceptions" $compiler -std=$standard $exceptions $warnings \
                -Iinclude -fsyntax-only "$scratch/alone.cpp"
        done
    done
    # shellcheck disable=SC2086
    expect "a host without exceptions, $compiler" $compiler -std=c++17 -O1 -fno-exceptions -fno-rtti $warnings -Iinclude \
        ${CFLAGS:-} -o "$scratch/no_exceptions" test/cpp/no_exceptions.cpp "$LIB/libbsq.so" \
        -Wl,-rpath,"$(cd "$LIB" && pwd)" &&
        expect "a host without exceptions runs, $compiler" "$scratch/no_exceptions"
done

refused "a callable that is gone at once" 'bsq::options o; o.progress = [](const bsq_progress_t &) {};'
refused "progress that returns a number" 'auto f = [](const bsq_progress_t &) { return 1; }; bsq::progress_ref r(f);'
refused "a copy of a layer" 'bsq::layer a; bsq::layer b = a;'
refused "an enumeration in the place of another" 'bsq::options o; o.scale_format = bsq::scale_kind::per_tensor;'
refused "a status that is ignored" 'bsq::layer a;
#pragma GCC diagnostic error "-Wunused-result"
    a.try_optimize();'

# missing WHAT LIST: every word of the list is in bsq.hpp.
missing()
{
    gone=$(tr ' ' '\n' <"$2" | grep . | while read -r word; do
        grep -q -w -e "$word" include/bsq.hpp || echo "$word"
    done)
    [ -z "$gone" ] || echo "$gone"
    expect "$1" [ -z "$gone" ]
}

sed -n 's/^BSQ_API .*[ *]\(bsq_[a-z0-9_]*\)(.*/\1/p' include/bsq.h >"$scratch/calls"
sed -n '/^ *enum {/,/}/p' include/bsq.h | grep -o 'BSQ_[A-Z0-9_]* = -\{0,1\}[0-9]' | sed 's/ =.*//' >"$scratch/values"
missing "every call of bsq.h" "$scratch/calls"
missing "every value of bsq.h" "$scratch/values"

# Every field of the structs that a host fills is set from a C++ one: each is "to.FIELD" but for what is reserved.
for struct in options layer_desc batch input_quantizer moments moments_buffers tensor; do
    sed -n "/^typedef struct bsq_${struct}_t {/,/^}/p" include/bsq.h |
        sed -n 's/^    [a-z][a-z0-9_ ]*[ *]\([a-z0-9_]*\)\(\[3\]\)\{0,1\};.*/\1/p' |
        grep -v -x -e struct_size -e reserved >"$scratch/fields"
    sed -n "/^inline bsq_${struct}_t to_c(/,/^}/p" include/bsq.hpp >"$scratch/to_c"
    gone=$(while read -r field; do
        grep -q -e "to\.$field[ ,]" "$scratch/to_c" || echo "$field"
    done <"$scratch/fields")
    [ -z "$gone" ] || echo "$gone"
    expect "every field of bsq_${struct}_t" [ -s "$scratch/fields" -a -z "$gone" ]
done

echo "cpp: $passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
