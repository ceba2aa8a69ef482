#!/bin/sh
# bsq-gguf as its user sees it, on models that are made here.
set -u

BUILD=${BUILD:-build} PYTHON=${PYTHON:-/usr/bin/python3} SHARED_DATA=${SHARED_DATA:-../shared}
shared=$(cd "$SHARED_DATA" 2>/dev/null && pwd)
tool=$(pwd)/$BUILD/bin/bsq-gguf model=$(pwd)/$BUILD/test/bsq-gguf/random_model
mkdir -p "$BUILD/bsq-gguf"
cd "$BUILD/bsq-gguf" || exit 1
rm -rf -- * .[!.]*
LC_ALL=C
export LC_ALL
passed=0 failed=0 skipped=0

good()
{
    passed=$((passed + 1))
}

bad()
{
    echo "failed: $1"
    cat stderr
    failed=$((failed + 1))
}

# expect WHAT COMMAND...
expect()
{
    what=$1
    shift
    if "$@"; then good; else bad "$what"; fi
}

# run WHAT OPTIONS...: must end well and say nothing on stderr.
run()
{
    what=$1
    shift
    if "$tool" "$@" >stdout 2>stderr && [ ! -s stderr ] && [ -s stdout ]; then good; else bad "$what"; fi
}

# refuse STATUS TEXT OPTIONS...: must end with that status, one line with that text on stderr, no file.
refuse()
{
    wanted=$1 text=$2
    shift 2
    "$tool" "$@" >stdout 2>stderr
    status=$?
    if [ $status -eq "$wanted" ] && [ "$(wc -l <stderr)" -eq 1 ] && [ ! -e none ] && grep -qF -- "$text" stderr &&
        grep -q "^bsq-gguf: " stderr; then
        good
    else
        bad "status $status instead of $wanted with '$text': $*"
    fi
}

awk 'BEGIN { for (i = 0; i < 800; i++) printf "line %d of a text, %d more\n", i * 7919 % 1000, i * i % 97 }' >text
tail -n 200 text >other
"$model" a.gguf width=64 hidden=96 blocks=2
"$model" q.gguf architecture=qwen2 biases tied vocabulary=270 width=64 hidden=96 blocks=1 type=F16
"$model" k.gguf width=256 hidden=512 blocks=1 type=BF16
common="--text text --context 32 --sequences 20 --effort 1"

# ---- what it is for -----------------------------------------------------------------------------------------------

# shellcheck disable=SC2086
run "quantize" a.gguf $common --type q4_0 -o a-q4.gguf --eval other --report a.html
expect "the file is smaller" [ "$(wc -c <a-q4.gguf)" -lt "$(($(wc -c <a.gguf) / 2))" ]
expect "a line for each matrix" [ "$(grep -c '^blk\..*Q4_0' stdout)" -eq 14 ]
expect "perplexity before, with its error" grep -q '^before *perplexity [0-9.]* +- [0-9.]*' stdout
expect "perplexity after" grep -q '^after *perplexity [0-9.]* +- [0-9.]*' stdout
divergence=$(grep '^divergence' stdout)
expect "divergence" grep -q '^divergence (KL) *[0-9.]* +- [0-9.]* nats' stdout
expect "same top token" grep -q '^same top token *[0-9.]* +- [0-9.]* %' stdout
expect "report is a page" grep -q '</html>' a.html
expect "report has every tensor" [ "$(grep -o 'blk\.1\.ffn_down\.weight' a.html | wc -l)" -eq 2 ]
expect "report fetches nothing" sh -c '! grep -qE "src=|href=\"[^#]|<script" a.html'
# shellcheck disable=SC2086
run "quantize in silence" a.gguf $common --type Q4_0 -o again.gguf --threads 2 --quiet
expect "the same bytes with other threads" cmp -s a-q4.gguf again.gguf
expect "nothing beside it" [ "$(find . -name 'a-q4.gguf*' | wc -l)" -eq 1 ]
run "evaluate alone" a-q4.gguf --eval other --context 32
expect "one line of perplexity" [ "$(grep -c perplexity stdout)" -eq 1 ]
run "compare with a file" a.gguf --compare a-q4.gguf --eval other --context 32
expect "the same divergence as when it was made" [ "$(grep '^divergence' stdout)" = "$divergence" ]
refuse 1 "has 270 tokens, a.gguf has 259" a.gguf --compare q.gguf --eval other --context 32
refuse 2 "--compare and -o exclude each other" a.gguf --compare q.gguf --eval other -o none
# shellcheck disable=SC2086
run "qwen2, tied" q.gguf $common --type Q5_0 --type-for 'blk.*.ffn_down=Q8_0' --embedding-type Q8_0 -o q-q5.gguf --json
expect "one JSON object" "$PYTHON" -c 'import json; d = json.load(open("stdout"))
types = {t["name"]: t["type"] for t in d["tensors"]}
assert types["blk.0.ffn_down.weight"] == "Q8_0" and types["blk.0.attn_q.weight"] == "Q5_0"
assert types["token_embd.weight"] == "Q8_0" and d["size_after"] > 0 and d["bits"] > 5.5'
# shellcheck disable=SC2086
run "types of 256" k.gguf $common --type Q8_0 --output-type BF16 -o k-q8.gguf
# shellcheck disable=SC2086
run "types within a budget" a.gguf $common --type Q4_0,Q5_0,Q8_0 --avg-bits 5.5 -o average.gguf --json
expect "bits on average" "$PYTHON" -c 'import json; assert 5.0 < json.load(open("stdout"))["bits"] <= 5.5'
awk 'BEGIN { for (i = 0; i < 400; i++) printf "\\%03o\\000\\000\\000", 5 + i * i % 200 }' | xargs -0 printf >ids
run "token ids" a.gguf --tokens ids --context 32 --type Q4_0 --effort 0 -o ids.gguf --eval-tokens ids
run "help" --help
expect "help names every option" sh -c 'for o in compare text tokens context sequences eval eval-tokens eval-sequences type avg-bits \
    type-for output-type embedding-type effort mu damping threads memory output report resume json quiet help version; do
    grep -q -- "--$o" stdout || exit 1; done'
run "version" --version

# ---- interruption -------------------------------------------------------------------------------------------------

# shellcheck disable=SC2086
"$tool" a.gguf $common --effort 2 --type Q5_0 -o whole.gguf --quiet >/dev/null 2>&1
for seconds in 0.3 0.6 1; do
    # shellcheck disable=SC2086
    timeout -s INT $seconds "$tool" a.gguf $common --effort 2 --type Q5_0 -o resumed.gguf --resume work >stdout 2>stderr
    status=$?
    if [ $status -eq 0 ]; then break; fi
    if [ $status -eq 124 ] && [ ! -e resumed.gguf ]; then good; else bad "interrupted: status $status"; fi
done
# shellcheck disable=SC2086
run "goes on" a.gguf $common --effort 2 --type Q5_0 -o resumed.gguf --resume work
expect "the same bytes as without interruption" cmp -s whole.gguf resumed.gguf
# shellcheck disable=SC2086
refuse 1 "is of a run with another setting" a.gguf $common --type Q4_0 -o none --resume work
# shellcheck disable=SC2086
refuse 1 "is of a run with another model" k.gguf $common --effort 2 --type Q5_0 -o none --resume work

# ---- what cannot be done ------------------------------------------------------------------------------------------

refuse 2 "the model is missing"
refuse 2 "nothing to do" a.gguf
refuse 2 "-o is missing" a.gguf --text text --type Q4_0 --eval other
refuse 2 "--type is missing" a.gguf --text text -o none
refuse 2 "--text or --tokens is missing" a.gguf --type Q4_0 -o none
refuse 2 "--type is one of F32" a.gguf --text text --type Q9 -o none
refuse 2 "names Q4_0 twice" a.gguf --text text --type Q4_0,Q4_0 --avg-bits 5 -o none
refuse 2 "--avg-bits is needed" a.gguf --text text --type Q4_0,Q5_0 -o none
refuse 2 "--avg-bits needs a --type of several" a.gguf --text text --type Q4_0 --avg-bits 5 -o none
refuse 2 "--avg-bits does not choose F16" a.gguf --text text --type Q4_0,F16 --avg-bits 5 -o none
refuse 2 "--type-for is NAME=TYPE" a.gguf --text text --type Q4_0 --type-for Q8_0 -o none
refuse 2 "exclude each other" a.gguf --text text --tokens ids --type Q4_0 -o none
refuse 2 "one model at a time" a.gguf k.gguf --text text --type Q4_0 -o none
refuse 2 "effort" a.gguf --text text --type Q4_0 --effort 10 -o none
refuse 1 "No such file" missing.gguf --text text --type Q4_0 -o none
refuse 1 "is not a GGUF file" text --text text --type Q4_0 -o none
head -c 3000 a.gguf >cut.gguf
refuse 1 "is truncated" cut.gguf --text text --type Q4_0 -o none
head -c 100000 a.gguf >cut.gguf
refuse 1 "is truncated: the data of tensor" cut.gguf --text text --type Q4_0 -o none
refuse 1 "No such file" a.gguf --text missing --type Q4_0 -o none
refuse 1 "fewer than the 100000 of one sequence" a.gguf --text text --context 100000 --type Q4_0 -o none
refuse 1 "needs multiples of 256" a.gguf --text text --context 32 --type Q4_K -o none
refuse 1 "no matrix is named" a.gguf --text text --context 32 --type Q4_0 --type-for 'x=Q8_0' -o none
refuse 1 "the embedding serves as such" q.gguf --text text --context 32 --type Q4_0 --output-type Q8_0 -o none
refuse 1 "is Q4_0 already" a-q4.gguf --text text --context 32 --type Q8_0 -o none
refuse 1 "MB to be solved; --memory is 1" k.gguf --text text --context 32 --type Q8_0 --memory 1 -o none
refuse 1 "cannot be written" a.gguf --text text --context 32 --type Q4_0 -o missing/none
refuse 1 "cannot be written" a.gguf --text text --context 32 --type Q4_0 -o none --report missing/none
mkdir folder
refuse 1 "not a regular file" a.gguf --text text --context 32 --type Q4_0 --effort 0 -o folder
expect "nothing is left" [ -z "$(find . -name 'none*' -o -name 'folder.*')" ]

# ---- a language model ---------------------------------------------------------------------------------------------

if [ -n "$shared" ] && [ -e "$shared/models/bytes_llama.gguf" ]; then
    run "a language model" "$shared/models/bytes_llama.gguf" --text "$shared/text/calibration.txt" --context 256 \
        --sequences 16 --effort 0 --type Q8_0 -o bytes.gguf --eval "$shared/text/eval.txt" --eval-sequences 16 --json
    expect "predicts as it did" "$PYTHON" -c 'import json; e = json.load(open("stdout"))["evaluation"]
assert abs(e["loss"]["value"] - 0.9) < 0.1 and e["divergence"]["value"] < 1e-3 and e["same_top"]["value"] > 0.98'
else
    echo "skipped: there is no $SHARED_DATA/models/bytes_llama.gguf"
    skipped=$((skipped + 1))
fi

echo "bsq-gguf: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
