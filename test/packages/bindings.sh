#!/bin/sh
# Takes the programs out of docs/bindings.md, builds them against an installed library and runs them. Both quantize the same
# numbers, so they must say the same.
# shellcheck source=test/packages/support.sh
. test/packages/support.sh
begin bindings

expect "make install-library" "$MAKE" install-library DESTDIR="$stage" PREFIX=/opt/bsq || { finish; exit; }

# program LANGUAGE: the page's block in that language.
program()
{
    sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/p" docs/bindings.md | sed '1d;$d'
}

libraries()
{
    PKG_CONFIG_PATH=$root/lib/pkgconfig $PKG_CONFIG "$@" bsq
}

# says LANGUAGE PROGRAM: it runs, and ends with its two lines.
says()
{
    LD_LIBRARY_PATH=$root/lib "$2" >"$scratch/$1.out" &&
        [ "$(wc -l <"$scratch/$1.out")" = 2 ] && grep -q '^too early: .*result' "$scratch/$1.out" &&
        grep -q '^libbsq .* 1024 bytes' "$scratch/$1.out" || { cat "$scratch/$1.out"; return 1; }
}

if have rustc && rustc --version >/dev/null 2>&1; then
    program rust >"$scratch/quickstart.rs"
    # shellcheck disable=SC2046
    expect "Rust: build" rustc --edition 2021 -O -D warnings -A dead_code -o "$scratch/quickstart-rust" "$scratch/quickstart.rs" \
        $(libraries --libs) && expect "Rust: run" says rust "$scratch/quickstart-rust"
else
    skip "Rust is not installed (make deps-packages)"
fi

build_go()
{
    cd "$scratch" && GO111MODULE=off GOCACHE=$scratch/go-cache GOFLAGS= PKG_CONFIG_PATH=$root/lib/pkgconfig CC=$CC \
        go build -o "$scratch/quickstart-go" quickstart.go
}

if have go; then
    program go >"$scratch/quickstart.go"
    if have gofmt; then
        expect "Go: in the form of gofmt" prints "" gofmt -l "$scratch/quickstart.go"
    fi
    expect "Go: build" build_go && expect "Go: run" says go "$scratch/quickstart-go"
    expect "Go: run, pointers checked" env GODEBUG=cgocheck=2 LD_LIBRARY_PATH="$root/lib" "$scratch/quickstart-go"
else
    skip "Go is not installed (make deps-packages)"
fi

if [ -f "$scratch/rust.out" ] && [ -f "$scratch/go.out" ]; then
    expect "both say the same" cmp "$scratch/rust.out" "$scratch/go.out"
fi

finish
