#!/bin/sh
# What `make deps` says when a package program holds the lock, or nothing is missing: with an apt-get that is made here.
BUILD=${BUILD:-build}
here=$(mkdir -p "$BUILD/deps" && cd "$BUILD/deps" && pwd)
passed=0 failed=0

expect()
{
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        echo "failed: $1: '$2' instead of '$3'"
        failed=$((failed + 1))
    fi
}

# program NAME: what it does comes from stdin.
program()
{
    cat >"$here/$1"
    chmod +x "$here/$1"
}

# deps WORDS...: status and what is said last on stderr.
deps()
{
    said=$(PATH="$here:$PATH" .ci/deps "$@" 2>&1 >/dev/null | tail -n 1)
    PATH="$here:$PATH" .ci/deps "$@" >/dev/null 2>&1
    status=$?
}

program dpkg-query <<'END'
#!/bin/sh
[ "$4" = there ] && printf installed
END
program sudo <<'END'
#!/bin/sh
exec "$@"
END
program apt-get <<'END'
#!/bin/sh
case "$*" in
install\ -s*) exit 0 ;;
esac
echo "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (unattended-upgr)" >&2
exit 100
END
deps missing
expect "a held lock" "$said" "deps: another program holds the package lock /var/lib/dpkg/lock-frontend: It is held by process 4711 (unattended-upgr); run this again when it has ended"
expect "a held lock, status" "$status" 1
deps there
expect "nothing missing" "$status" 0
program apt-get <<'END'
#!/bin/sh
case "$*" in
install\ -s*) exit 0 ;;
esac
echo "E: Unable to locate package missing" >&2
exit 100
END
deps missing
expect "no such package" "$said" "E: Unable to locate package missing"
program apt-get <<'END'
#!/bin/sh
exit 0
END
deps missing
expect "installed, status" "$status" 0

echo "deps: $passed passed, $failed failed"
[ "$failed" = 0 ]
