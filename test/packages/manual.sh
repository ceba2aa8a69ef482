#!/bin/sh
# Man pages and HTML that are made from the header's comments: all of it is there, and the tools that show it are content.
# shellcheck source=test/packages/support.sh
. test/packages/support.sh
begin manual

expect "make install-man" "$MAKE" install-man DESTDIR="$stage" PREFIX=/opt/bsq || { finish; exit; }
pages=$root/share/man

sed -n 's/^BSQ_API .*[ *]\(bsq_[a-z0-9_]*\)(.*/\1/p' include/bsq.h >"$scratch/calls"
sed -n 's/^typedef struct \(bsq_[a-z_]*_t\) {/\1/p; s/.*BSQ_CALL \*\(bsq_[a-z_]*_fn\)).*/\1/p' include/bsq.h >"$scratch/types"
grep -o '\bBSQ_[A-Z0-9_]* = ' include/bsq.h | sed 's/ = //' >"$scratch/values"

# each FILE COMMAND...: the command succeeds with every line of the file.
each()
{
    list=$1
    shift
    [ -s "$list" ] || return 1
    while read -r line; do
        "$@" "$line" || { echo "not: $line"; return 1; }
    done <"$list"
}

has_page()
{
    [ -f "$pages/man3/$1.3" ]
}

in_constants()
{
    grep -q -w -e "$1" "$pages/man3/bsq_constants.3"
}

expect "every call has a page" each "$scratch/calls" has_page
expect "every struct and callback has a page" each "$scratch/types" has_page
expect "every value is in bsq_constants(3)" each "$scratch/values" in_constants

in_program_page()
{
    grep -q -F -e "\\fB$1" "$pages/man1/$program.1"
}
for program in bsq-layer bsq-gguf; do
    "$BUILD/bin/$program" --help | grep -o '^  --[a-z-]*' | tr -d ' ' | sed 's/-/\\-/g' >"$scratch/options"
    expect "every option of $program is in its page" each "$scratch/options" in_program_page
done

# Links (.so) lead to pages that are there, and name the call in the page's NAME.
find "$pages" -name '*.[13]' >"$scratch/pages"
links_lead_on()
{
    target=$(sed -n 's/^\.so //p' "$1")
    [ -z "$target" ] || { [ -f "$pages/$target" ] && grep -q -w -e "$(basename "$1" .3)" "$pages/$target"; }
}
expect "links lead to a page that names them" each "$scratch/pages" links_lead_on

if have man && have lexgrog; then
    # Pages that are no links, all at once.
    sed "s|^$pages/||" "$scratch/pages" | (cd "$pages" && xargs grep -L '^\.so ') >"$scratch/whole"
    without_warnings()
    {
        warnings=$(cd "$pages" && MANWIDTH=100 xargs man --warnings --encoding=UTF-8 --local-file <"$scratch/whole" 2>&1 >/dev/null)
        [ -z "$warnings" ] || { echo "$warnings"; return 1; }
    }
    (cd "$pages" && xargs lexgrog <"$scratch/whole") >"$scratch/index"
    is_indexed()
    {
        grep -q -e "\"$1 - ..*" "$scratch/index"
    }
    cat "$scratch/calls" "$scratch/types" >"$scratch/names"
    printf '%s\n' bsq bsq_constants bsq-layer bsq-gguf >>"$scratch/names"
    expect "man has no warning" without_warnings
    expect "the index of manuals has every name" each "$scratch/names" is_indexed
else
    skip "man is not installed (make deps-packages)"
fi

# A call without a comment does not get an empty page.
sed '/^\/\* Frees the layer/d' include/bsq.h >"$scratch/bare.h"
refused "a call without a comment" "there is no comment on bsq_layer_free" env PYTHONDONTWRITEBYTECODE=1 \
    "$PYTHON" docs/reference/man.py calls "$scratch/bare.h" "$scratch/bare" 0

if have doxygen; then
    says_nothing()
    {
        env MAKEFLAGS= "$MAKE" --no-print-directory docs V=1 >"$scratch/docs.log" 2>"$scratch/docs.warnings" && ! grep . "$scratch/docs.warnings"
    }
    in_html()
    {
        grep -q -w -e "$1" "$scratch/html"
    }
    expect "make docs has no warning" says_nothing
    cat build/docs/group__section*.html >"$scratch/html"
    expect "every call is in it" each "$scratch/calls" in_html
    expect "every type is in it" each "$scratch/types" in_html
    grep -o '\btry_[a-z_]*(' include/bsq.hpp | tr -d '(' | sort -u >"$scratch/cpp"
    sed -n 's/^class \([a-z_]*\)\( : .*\)\{0,1\} {$/\1/p; s/^struct \([a-z_]*\) {$/\1/p' include/bsq.hpp >>"$scratch/cpp"
    printf '%s\n' optimize get_tensor acquire_stats >>"$scratch/cpp"
    find build/docs -name '*bsq_1_1*.html' -o -name 'namespacebsq*.html' | xargs cat >"$scratch/html"
    expect "every call and type of bsq.hpp is in it" each "$scratch/cpp" in_html
else
    skip "doxygen is not installed (make deps-packages)"
fi

finish
