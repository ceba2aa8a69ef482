#!/bin/sh
# Who may use whom in src (src/README.md): by the includes of each folder and by the symbols of its object files. mpi/ is
# a library of its own, which sees the others by their public calls alone.
set -u

BUILD=${BUILD:-build}
LC_ALL=C
export LC_ALL
scratch=$BUILD/house
passed=0 failed=0
rm -rf "$scratch"
mkdir -p "$scratch"

# The folders that a folder may use, itself apart.
allowed()
{
    case $1 in
    api) echo solve stages stats input format base ;;
    network) echo base ;;
    solve) echo stages stats input base kernels ;;
    stages) echo stats input base kernels ;;
    stats) echo input base kernels ;;
    input | format) echo base kernels ;;
    *) ;;
    esac
}

# may FOLDER OTHER: the one may use the other.
may()
{
    [ "$1" = "$2" ] && return 0
    for folder in $(allowed "$1"); do
        [ "$folder" = "$2" ] && return 0
    done
    return 1
}

# is_public SYMBOL: hosts may call it, and so may mpi/.
is_public()
{
    grep -q "^ *$1;\$" src/bsq.map
}

# judge WHAT FILE: every line "FOLDER OTHER PLACE" of the file is allowed.
judge()
{
    wrong=
    while read -r from to place; do
        may "$from" "$to" || { [ "$from" = mpi ] && is_public "${place%% in *}"; } || wrong="$wrong
  $from uses $to: $place"
    done <"$2"
    if [ -z "$wrong" ]; then
        passed=$((passed + 1))
    else
        echo "failed: $1$wrong"
        failed=$((failed + 1))
    fi
}

for file in src/*/*.[ch]; do
    folder=${file#src/}
    folder=${folder%%/*}
    sed -n 's|^#include "\([a-z]*\)/[a-z0-9_]*\.h".*|\1|p' "$file" | while read -r other; do
        echo "$folder $other $file"
    done
done >"$scratch/includes"
judge "includes" "$scratch/includes"

# Each line: symbol, folder. A symbol that is used is looked up in where it is defined.
for object in "$BUILD"/obj/src/*/*.o; do
    source=${object#"$BUILD"/obj/}
    [ -f "${source%.o}.c" ] || continue # of a file that is gone
    folder=${source#src/}
    folder=${folder%%/*}
    nm -g --defined-only -f posix "$object" | awk -v folder="$folder" '{print $1, folder}' >>"$scratch/defined"
    nm -g --undefined-only -f posix "$object" | awk -v folder="$folder" -v file="$object" '{print $1, folder, file}' \
        >>"$scratch/used"
done
sort -u "$scratch/defined" >"$scratch/defined.sorted"
sort -u "$scratch/used" | join - "$scratch/defined.sorted" | awk '{print $2, $4, $1 " in " $3}' >"$scratch/symbols"
judge "symbols" "$scratch/symbols"

# MPI stays in its room.
grep -l -E '^#include <mpi\.h>|^#include "bsq_mpi\.h"' src/*/*.[ch] include/bsq.h include/bsq.hpp | grep -v '^src/mpi/' \
    >"$scratch/mpi_users"
if [ -s "$scratch/mpi_users" ]; then
    echo "failed: files outside of src/mpi that include MPI"
    cat "$scratch/mpi_users"
    failed=$((failed + 1))
else
    passed=$((passed + 1))
fi

# Of the stages, only these read statistics.
grep -l '^#include "stats/' src/stages/*.[ch] | grep -v -E '/(objective|hessian)\.[ch]$' >"$scratch/readers"
if [ -s "$scratch/readers" ]; then
    echo "failed: stages that read statistics"
    cat "$scratch/readers"
    failed=$((failed + 1))
else
    passed=$((passed + 1))
fi

# The rules above forbid loops as long as this order holds: a folder uses later ones only.
order="mpi api network solve stages stats input format base kernels"
for from in $order; do
    later=
    for to in $order; do
        if [ -n "$later" ] || [ "$from" = "$to" ]; then
            later=yes
        elif may "$from" "$to"; then
            echo "failed: $from may use $to, which comes before it"
            failed=$((failed + 1))
        fi
    done
done

echo "house: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
