#!/bin/sh
# libbsq-mpi under mpirun, several ranks on this machine: the same bits for any number of them, and what happens when one
# differs, fails, is killed or does not come. Skipped, saying so, where there is no MPI.
set -u

. test/expect

BUILD=${BUILD:-build} LIB=${LIB:-lib} ABI=${ABI:-$(cat src/ABI)}
MPIRUN=${MPIRUN-$(command -v mpirun)} MPICC=${MPICC-$(command -v mpicc)}
if [ -z "$MPIRUN" ] || [ -z "$MPICC" ]; then
    echo "mpi: skipped, there is no mpicc or no mpirun (make deps-mpi)"
    exit 0
fi
scratch=$BUILD/mpi
ranks=$BUILD/test/mpi_ranks
rm -rf "$scratch"
mkdir -p "$scratch"
LC_ALL=C
export LC_ALL
# Ranks share the processors: threads of OpenBLAS besides would only wait for each other.
OPENBLAS_NUM_THREADS=1 OMPI_MCA_mpi_yield_when_idle=1
export OPENBLAS_NUM_THREADS OMPI_MCA_mpi_yield_when_idle

root=
[ "$(id -u)" -ne 0 ] || root=--allow-run-as-root
# start COUNT COMMAND...: the command on so many ranks, for two minutes at most.
start()
{
    count=$1
    shift
    # shellcheck disable=SC2086
    timeout -k 5 240 "$MPIRUN" $root --oversubscribe -n "$count" "$@"
}

# into FILE COMMAND...: what it prints goes there.
into()
{
    file=$1
    shift
    "$@" >"$file"
}

# same_bits NAME WORDS...: 1, 2, 3, 4 and 7 ranks print the same.
same_bits()
{
    name=$1
    shift
    for count in 1 2 3 4 7; do
        expect "$name on $count ranks" into "$scratch/$name.$count" start $count "$ranks" "$@"
        expect "$name: something was printed" test -s "$scratch/$name.$count"
        expect "$name: the bits of $count ranks are those of one" cmp "$scratch/$name.1" "$scratch/$name.$count"
    done
}

same_bits kinds kinds
same_bits network network 1
expect "a network in teams of two" into "$scratch/network.teams" start 4 "$ranks" network 2
expect "a network in teams of two: the bits of one rank" cmp "$scratch/network.1" "$scratch/network.teams"
same_bits overlap overlap

# all_say WHAT COUNT TEXT: every rank printed the text.
all_say()
{
    expect "$1" test "$(grep -c -F "$3" "$scratch/said")" = "$2"
    [ "$(grep -c -F "$3" "$scratch/said")" = "$2" ] || cat "$scratch/said"
}

# differs WHAT TEXT: rank 1 is refused by all, with a text that names the difference.
differs()
{
    expect "ranks that differ in $1" into "$scratch/said" start 3 "$ranks" differ "$1"
    all_say "the difference in $1 is named" 3 "gets -920: rank $2"
}

differs shards "1: shards is 4, on rank 0 it is 5"
differs description "1: in_channels is 41, on rank 0 it is 40"
differs target ""
differs call "1: the call is bsq_mpi_agree, that of rank 0 is bsq_mpi_optimize"
differs weight_bits "1: weight_bits is 4, on rank 0 it is 3"
differs damping "1: damping is 0.25, on rank 0 it is 0.5"
differs statistics "1: the statistics: not the same as on rank 0"
differs weights "1: the weights: not the same as on rank 0"
differs parts "1: parts is 3, on rank 0 it is 2"

# fails WHAT TEXT: rank 1 ends the call on all; the result afterwards is that of no failure.
fails()
{
    expect "$1 on one rank" into "$scratch/said" start 3 "$ranks" fail "$1"
    all_say "$1 on one rank ends the call on all" 3 "$2"
    expect "after $1 nothing is lost" grep -q "$(awk 'NR == 1 { print $2, $3 }' "$scratch/kinds.1")" "$scratch/said"
}

fails batch "gets -500: rank 1: input[5] is NaN"
fails cancel "gets -700: rank 1: cancelled"
fails signal "gets -700: rank 1: cancelled"
fails network "gets -600: rank"
expect "memory" into "$scratch/memory" start 2 "$ranks" memory
expect "memory: the bits of one rank" grep -q "$(awk '$1 == "target" { print $2, $3 }' "$scratch/kinds.1")" \
    "$scratch/memory"

# A rank that does not come: the others go on after a second. mpirun says that the run was ended.
start 3 "$ranks" late >"$scratch/said" 2>/dev/null
all_say "a rank that does not come ends the wait of the others" 2 "gets -900: rank"

# not COMMAND...: it fails.
not()
{
    ! "$@"
}

# A rank that is killed takes the run with it; the next one reads what is there.
uninterrupted=$scratch/uninterrupted
mkdir -p "$uninterrupted" "$scratch/killed" "$scratch/full"
expect "a run that keeps shards" into "$scratch/whole" start 3 "$ranks" resume "$uninterrupted"
expect "a killed rank ends the run" not start 3 "$ranks" resume "$scratch/killed" 1
kept=$(find "$scratch/killed" -name '*.bsq' | wc -l)
expect "shards were kept" test "$kept" -ge 1
start 2 "$ranks" resume "$scratch/killed" >"$scratch/resumed" 2>"$scratch/said"
expect "the next run makes only what is missing" grep -q "made $((5 - kept)) of 5" "$scratch/said"
expect "the resumed run has the bits of the other" cmp "$scratch/whole" "$scratch/resumed"

# A full disk under one rank's shard.
ln -s /dev/full "$scratch/full/shard-3.part"
expect "a full disk" into "$scratch/said" start 3 "$ranks" resume "$scratch/full"
all_say "a full disk ends the run on all" 3 "rank 1: statistics of a shard could not be written"
rm "$scratch/full/shard-3.part"
expect "with room the run goes on" into "$scratch/resumed" start 3 "$ranks" resume "$scratch/full"
expect "with room it has the bits of the other" cmp "$scratch/whole" "$scratch/resumed"

# A file that was cut short is made again.
head -c 1000 "$uninterrupted/shard-2.bsq" >"$scratch/killed/shard-2.bsq"
start 2 "$ranks" resume "$scratch/killed" >"$scratch/resumed" 2>"$scratch/said"
expect "a damaged file is made again" grep -q "made 1 of 5" "$scratch/said"
expect "then the bits are the same" cmp "$scratch/whole" "$scratch/resumed"

for count in 1 3; do
    expect "the example on $count ranks" into "$scratch/example.$count" start $count "$BUILD/examples/mpi"
done
expect "the example prints the same" cmp "$scratch/example.1" "$scratch/example.3"

# bsq-layer-mpi: files of any number of ranks are the same, and one rank's bad file ends all without any.
tool=$BUILD/bin/bsq-layer-mpi
python=${PYTHON:-/usr/bin/python3}
if "$python" -c 'import numpy' 2>/dev/null; then
    "$python" - "$scratch" <<'END'
import sys
import numpy

numbers = numpy.random.default_rng(1)
save = lambda name, *shape: numpy.save(f"{sys.argv[1]}/{name}.npy", numbers.standard_normal(shape).astype("f4"))
save("w", 300, 40)
for batch in range(5):
    save(f"x{batch}", 100 + 30 * batch, 40)
    save(f"y{batch}", 100 + 30 * batch, 300)
numpy.save(f"{sys.argv[1]}/bad.npy", numpy.full((3, 40), numpy.nan, "f4"))
END
    set -- --weights "$scratch/w.npy" --effort 2 --act-bits 6 --bias-correction
    for batch in 0 1 2 3 4; do
        set -- "$@" --input "$scratch/x$batch.npy" --target "$scratch/y$batch.npy"
    done
    for count in 1 2 3 7; do
        expect "bsq-layer-mpi on $count ranks" start $count "$tool" "$@" --out "$scratch/out.$count"
        expect "bsq-layer-mpi: the files of $count ranks are those of one" diff -r "$scratch/out.1" "$scratch/out.$count"
    done
    expect "bsq-layer-mpi: there are files" test -s "$scratch/out.1/codes.npy"
    start 3 "$tool" --weights "$scratch/w.npy" --input "$scratch/x0.npy" --input "$scratch/bad.npy" \
        --input "$scratch/x1.npy" --out "$scratch/none" >"$scratch/stdout" 2>"$scratch/said"
    expect "bsq-layer-mpi ends with a failure" test $? -ne 0
    expect "bsq-layer-mpi says once what is wrong" test "$(grep -c '^bsq-layer: .*bad.npy: input\[0\] is NaN' "$scratch/said")" = 1
    expect "bsq-layer-mpi prints nothing then" not test -s "$scratch/stdout"
    expect "bsq-layer-mpi leaves nothing then" not test -e "$scratch/none"
    start 2 "$tool" "$@" --out /dev/full/out >"$scratch/stdout" 2>"$scratch/said"
    expect "bsq-layer-mpi fails where it cannot write" test $? -ne 0
else
    echo "bsq-layer-mpi: skipped, $python has no numpy"
fi

# Installed beside the core library and found by pkg-config; programs are compiled by mpicc.
stage=$(pwd)/$scratch/stage
root_of_stage=$stage/opt/bsq
MAKE=${MAKE:-make}
expect "make install-mpi" "$MAKE" install-shared install-mpi DESTDIR="$stage" PREFIX=/opt/bsq
PKG_CONFIG_PATH=$root_of_stage/lib/pkgconfig
export PKG_CONFIG_PATH
# shellcheck disable=SC2046
expect "build a host of what is installed" env OMPI_CC="${CC:-gcc}" MPICH_CC="${CC:-gcc}" "$MPICC" -std=c99 -Iexamples \
    $(pkg-config --cflags bsq-mpi) -o "$scratch/host" examples/mpi/mpi.c "$BUILD/examples/libcommon.a" \
    $(pkg-config --libs bsq-mpi) -lm
expect "run it" into "$scratch/example.installed" start 2 -x LD_LIBRARY_PATH="$root_of_stage/lib" "$scratch/host"
expect "it prints the same" cmp "$scratch/example.1" "$scratch/example.installed"
expect "its manual is installed" test -f "$root_of_stage/share/man/man3/bsq_mpi_optimize.3"
expect "make uninstall" "$MAKE" uninstall DESTDIR="$stage" PREFIX=/opt/bsq
expect "uninstall leaves nothing" test -z "$(find "$stage" -type f -o -type l)"
unset PKG_CONFIG_PATH

# What the library exports, and that the header goes alone in C and C++.
sed -n 's/^BSQ_API .*[ *]\(bsq_mpi_[a-z0-9_]*\)(.*/\1/p' include/bsq_mpi.h | sort >"$scratch/header"
test/abi/exports "$LIB/libbsq-mpi.so.$ABI" | sed 's/@@BSQ_MPI_0 T.*//' | grep -v '^BSQ_MPI_0' >"$scratch/exports"
expect "the library exports what bsq_mpi.h declares" diff -u "$scratch/header" "$scratch/exports"
echo '#include "bsq_mpi.h"' >"$scratch/alone.c"
expect "bsq_mpi.h alone in C99" env OMPI_CC="${CC:-gcc}" MPICH_CC="${CC:-gcc}" "$MPICC" -std=c99 -pedantic-errors -Wall -Wextra \
    -Werror -Iinclude -c -o "$scratch/alone.o" "$scratch/alone.c"
expect "bsq_mpi.h alone in C++" env OMPI_CC="${CXX:-g++}" MPICH_CC="${CXX:-g++}" "$MPICC" -x c++ -std=c++11 -DOMPI_SKIP_MPICXX -DMPICH_SKIP_MPICXX -Wall -Wextra \
    -Werror -Iinclude -c -o "$scratch/alone.o" "$scratch/alone.c"
expect "the core library does not know MPI" not sh -c "readelf -d '$LIB/libbsq.so.$ABI' | grep -i mpi"

echo "mpi: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
