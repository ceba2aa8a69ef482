#!/bin/sh
# The tool as its user sees it. The data is made here, and errors are computed again, by awk alone.
set -u

BUILD=${BUILD:-build} PYTHON=${PYTHON:-/usr/bin/python3}
tool=$(pwd)/$BUILD/bin/bsq-layer
mkdir -p "$BUILD/bsq-layer"
cd "$BUILD/bsq-layer" || exit 1
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

skip()
{
    echo "skipped: $1"
    skipped=$((skipped + 1))
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
    if "$tool" "$@" >json 2>stderr && [ ! -s stderr ] && [ -s json ]; then good; else bad "$what"; fi
}

# refuse STATUS TEXT OPTIONS...: must end with that status, one line with that text on stderr, nothing on stdout.
refuse()
{
    wanted=$1 text=$2
    shift 2
    "$tool" "$@" >json 2>stderr
    status=$?
    if [ $status -eq "$wanted" ] && [ ! -s json ] && [ "$(wc -l <stderr)" -eq 1 ] && [ ! -e none ] &&
        grep -q "^bsq-layer: .*$text" stderr; then
        good
    else
        bad "status $status instead of $wanted with '$text': $*"
    fi
}

# value KEY: of the object in the file json.
value()
{
    grep -o "\"$1\": [^],}]*" json | head -n 1 | sed 's/[^:]*: //; s/^"//; s/"$//'
}

# is KEY VALUE
is()
{
    if [ "$(value "$1")" = "$2" ]; then good; else bad "$1 is $(value "$1"), not $2"; fi
}

# close WHAT A B TOLERANCE: relative.
close()
{
    if awk -v a="$2" -v b="$3" -v t="$4" 'BEGIN { d = a - b; exit !(a != "" && d * d <= t * t * b * b) }'; then
        good
    else
        bad "$1: $2 is not $3"
    fi
}

# array NAME BYTES SHAPE: a file of the integers on stdin, each of that many bytes.
array()
{
    {
        printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<i$2', 'fortran_order': False, 'shape': ($3), }"
        # shellcheck disable=SC2059
        printf "$(awk -v bytes="$2" '{
            for (f = 1; f <= NF; f++) {
                v = $f < 0 ? $f + 256 ^ bytes : $f
                for (b = 0; b < bytes; b++) {
                    printf "\\%03o", v % 256
                    v = int(v / 256)
                }
            }
        }')"
    } >"$1"
}

# codes DIR, numbers DIR/NAME.npy: what the tool wrote, as text. Headers have 128 bytes.
codes()
{
    od -An -v -t d1 -j 128 "$1/codes.npy"
}

numbers()
{
    od -An -v -t f4 -j 128 "$1"
}

# has FILE TEXT: in its header.
has()
{
    head -c 128 "$1" | grep -aqF "$2"
}

only_results()
{
    [ "$(ls -A "$1")" = "$(printf 'bias.npy\ncodes.npy\ndequantized.npy\npacked.npy\nscales.npy')" ]
}

# ---- a linear layer: M = 6, n = 10, 300 rows ----------------------------------------------------------------------

# Random numbers that every awk makes alike.
random='function draw(limit) { seed = (seed * 16807) % 2147483647; return seed % limit }'
awk -v seed=11 "$random"' BEGIN { for (i = 0; i < 60; i++) print draw(201) - 100 }' >w
awk -v seed=12 "$random"' BEGIN {
    for (r = 0; r < 300; r++) {
        walk = 0
        for (k = 0; k < 10; k++) {
            walk = int(walk * 0.8) + draw(121) - 60
            printf "%d ", (walk > 0 ? walk : 0)
        }
        print ""
    }
}' >x
awk -v seed=13 "$random"' BEGIN { for (i = 0; i < 6; i++) print draw(2001) - 1000 }' >b
array w.npy 2 "6, 10" <w
array b.npy 2 "6," <b
array x.npy 2 "300, 10" <x
head -n 70 x | array x1.npy 2 "70, 10"
tail -n 230 x | array x2.npy 2 "230, 10"
awk '{ for (i = 1; i <= 10; i++) for (j = 1; j <= 10; j++) h[i, j] += $i * $j }
    END { for (i = 1; i <= 10; i++) for (j = 1; j <= 10; j++) print h[i, j] }' x >h
array h.npy 4 "10, 10" <h
array h3.npy 4 "1, 10, 10" <h
# The target: outputs of other inputs, bias included.
awk -v seed=14 "$random"' FILENAME == "w" { w[nw++] = $1 } FILENAME == "b" { b[nb++] = $1 } FILENAME == "x" {
    for (m = 0; m < 6; m++) {
        y = b[m]
        for (k = 0; k < 10; k++) y += w[m * 10 + k] * ($(k + 1) + draw(5) - 2)
        printf "%d ", y
    }
    print ""
}' w b x >y
array y.npy 4 "300, 6" <y
head -n 70 y | array y1.npy 4 "70, 6"
tail -n 230 y | array y2.npy 4 "230, 6"

# linear_error DIR [target]: relative output error of codes and scales over the rows.
# cmp_weights FILE: float weights near those of w, within a tenth of the largest.
cmp_weights()
{
    numbers "$1" | tr -s ' ' '\n' | grep . >dequantized.txt
    paste w dequantized.txt | awk '{ d = $1 - $2; if (d * d > worst) worst = d * d; if ($1 * $1 > most) most = $1 * $1 }
        END { exit NR != 60 || worst > 0.01 * most }'
}

linear_error()
{
    codes "$1" >codes.txt
    numbers "$1/scales.npy" >scales.txt
    awk -v target="${2:-}" '
        FILENAME == "w" { w[nw++] = $1 }
        FILENAME == "b" { b[nb++] = $1 }
        FILENAME == "codes.txt" { for (f = 1; f <= NF; f++) q[nq++] = $f }
        FILENAME == "scales.txt" { for (f = 1; f <= NF; f++) s[ns++] = $f }
        FILENAME == "y" { for (f = 1; f <= NF; f++) y[ny++] = $f }
        FILENAME == "x" {
            for (m = 0; m < 6; m++) {
                wanted = got = 0
                for (k = 0; k < 10; k++) {
                    wanted += w[m * 10 + k] * $(k + 1)
                    got += s[m] * q[m * 10 + k] * $(k + 1)
                }
                if (target) wanted = y[row * 6 + m] - b[m]
                above += (wanted - got) ^ 2
                below += wanted ^ 2
            }
            row++
        }
        END { printf "%.9g", above / below }' w b codes.txt scales.txt y x
}

run "linear from inputs" --weights w.npy --bias b.npy --input x.npy --bits 3 --out lin
close "error of the linear layer" "$(linear_error lin)" "$(value error)" 1e-4
expect "better than rounding" awk -v a="$(value error)" -v b="$(value error_round)" 'BEGIN { exit !(a < b) }'
is bits 3
is range symmetric
is solver auto
is effort 5
is rows 300
is scale channel
is held_out_error null
is packed onnx-int4
expect "outcome is there" test -n "$(value outcome)"
expect "seconds is one number" awk -v s="$(value seconds)" 'BEGIN { exit !(s >= 0 && s < 1000) }'
expect "one line on stdout" test "$(wc -l <json)" -eq 1
expect "files, and nothing else" only_results lin
expect "codes keep the weights' shape" has lin/codes.npy "'|i1', 'fortran_order': False, 'shape': (6, 10), }"
expect "a scale for each channel" has lin/scales.npy "'<f4', 'fortran_order': False, 'shape': (6,), }"
expect "packed bytes" has lin/packed.npy "'|u1', 'fortran_order': False, 'shape': (30,), }"
expect "bias is unchanged" test "$(numbers lin/bias.npy | tr -s ' \n' '  ')" = "$(printf ' %s' $(cat b)) "
if [ "$(codes lin | tr -s ' ' '\n' | awk 'NF && ($1 < -3 || $1 > 3)')" ]; then bad "codes of 3 bits"; else good; fi
packed=$(od -An -v -t u1 -j 128 lin/packed.npy | tr -s ' \n' '  ')
byhand=$(codes lin | tr -s ' ' '\n' | awk 'NF { v = ($1 + 16) % 16; if (n++ % 2) printf " %d", low + 16 * v; else low = v }')
expect "ONNX int4, byte by byte" test "$packed" = "$byhand "
codes lin >codes.txt
numbers lin/scales.npy >scales.txt
numbers lin/dequantized.npy >values.txt
expect "dequantized weights" awk '
    FILENAME == "codes.txt" { for (f = 1; f <= NF; f++) q[nq++] = $f }
    FILENAME == "scales.txt" { for (f = 1; f <= NF; f++) s[ns++] = $f }
    FILENAME == "values.txt" {
        for (f = 1; f <= NF; f++) {
            e = s[int(n / 10)] * q[n + 0]
            if (($f - e) ^ 2 > 1e-10 * e ^ 2) wrong = 1
            n++
        }
    }
    END { exit wrong || n != 60 }' codes.txt scales.txt values.txt

run "the same rows in two batches" --weights=w.npy --bias=b.npy --input=x1.npy --input=x2.npy --bits=3 --out=two
expect "the same codes from two batches" cmp -s lin/codes.npy two/codes.npy
expect "the same scales from two batches" cmp -s lin/scales.npy two/scales.npy
run "threads" --weights w.npy --input x.npy --bits 3 --threads 2 --out two
expect "the same codes with two threads" cmp -s lin/codes.npy two/codes.npy

run "moments" --weights w.npy --stats h.npy --bits 3 --out mom
close "error with moments" "$(linear_error mom)" "$(value error)" 1e-4
is rows null
run "moments of one group" --weights w.npy --stats h3.npy --bits 3 --out two
expect "the same codes from (1, n, n)" cmp -s mom/codes.npy two/codes.npy

run "target" --weights w.npy --bias b.npy --input x1.npy --input x2.npy --target y1.npy --target y2.npy --bits 2 --out tar
close "error with a target" "$(linear_error tar target)" "$(value error)" 1e-4
expect "a floor" awk -v f="$(value error_floor)" -v e="$(value error)" 'BEGIN { exit !(f > 0 && f <= e) }'
run "mu 0" --weights w.npy --bias b.npy --input x.npy --target y.npy --bits 2 --mu 0 --out two
close "error with mu 0" "$(linear_error two)" "$(value error)" 1e-4

run "held out" --weights w.npy --input x1.npy --held-out h.npy --bits 3 --out two
close "held-out error" "$(linear_error two)" "$(value held_out_error)" 1e-4
for effort in 0 1 2 3; do
    run "effort $effort judged by held-out rows" --weights w.npy --input x1.npy --held-out h.npy --bits 3 --effort $effort
    printf '%d %s\n' $effort "$(value held_out_error)"
done >byeffort
run "effort by held-out rows" --weights w.npy --input x1.npy --held-out h.npy --bits 3 --effort 3 --select-on-held-out
is effort "$(sort -s -g -k 2 byeffort | head -n 1 | cut -d ' ' -f 1)"
is held_out_error "$(sort -s -g -k 2 byeffort | head -n 1 | cut -d ' ' -f 2)"
is channels_proven 6
is lower_bound 1
is lower_bound_says proven
run "no bound" --weights w.npy --stats h.npy --bits 3 --scale group:5
is lower_bound 0
is lower_bound_says unknown
run "a bound of one scale" --weights w.npy --stats h.npy --bits 3 --scale tensor --lower-bound
expect "a bound" awk -v b="$(value lower_bound)" 'BEGIN { exit !(b > 0.1 && b < 1) }'
is lower_bound_says useful
run "bias correction" --weights w.npy --bias b.npy --input x.npy --bits 2 --bias-correction --out two
expect "bias changes" test "$(numbers two/bias.npy | tr -s ' \n' '  ')" != "$(printf ' %s' $(cat b)) "
run "weights alone" --weights w.npy --solver round --out two
expect "says so" grep -q '"warnings": \["no_statistics"' json
run "inputs of 8 bits" --weights w.npy --input x.npy --act-bits 8 --act-clip minimum-maximum --out two
is act_type unsigned
run "inputs of 8 bits, a scale a channel" --weights w.npy --input x.npy --bits 8 --act-bits 8 --act-scale channel --out two
expect "dequantized weights are those of real inputs" cmp_weights two/dequantized.npy
expect "a scale and a zero point for each of ten channels" \
    grep -q '"act_channel_scales": \[\([^],]*, \)\{9\}[^],]*\], "act_channel_zero_points": \[\(0, \)\{9\}0\]' json
run "paper" --weights w.npy --input x.npy --bits 3 --solver paper
is solver paper
is packed null
run "full range, pretty" --weights w.npy --stats h.npy --bits 2 --range full --effort 1 --json pretty --damping 0.01 --out two
is range full
is effort 1
is damping 0.01
expect "many lines" test "$(wc -l <json)" -gt 20
expect "int2 by itself" has two/packed.npy "(15,)"

for scale in "tensor|()" "channel|(6,)" "group:3|(6, 4)" "group:10|(6, 1)"; do
    run "scale $scale" --weights w.npy --stats h.npy --scale "${scale%|*}" --out two
    is scale "${scale%|*}"
    expect "shape of the scales $scale" has two/scales.npy "'shape': ${scale#*|}, }"
done
run "powers of two" --weights w.npy --stats h.npy --scale-format pow2 --out two
numbers two/scales.npy >scales.txt
expect "scales are powers of two" awk '{ for (f = 1; f <= NF; f++) { l = log($f) / log(2); n++
    if ((l - int(l + (l < 0 ? -0.5 : 0.5))) ^ 2 > 1e-10) wrong = 1 } } END { exit wrong || n != 6 }' scales.txt
for format in "int8|(60,)" "onnx-int4|(30,)" "onnx-int2|(15,)" "ternary-planes|(96,)" "sign-magnitude-planes|(96,)"; do
    run "format $format" --weights w.npy --stats h.npy --bits 2 --format "${format%|*}" --out two
    is packed "${format%|*}"
    expect "size of $format" has two/packed.npy "'shape': ${format#*|}, }"
done
awk 'BEGIN { for (i = 0; i < 128; i++) print i * 37 % 101 - 50 }' | array blocks.npy 1 "2, 64"
awk 'BEGIN { for (i = 0; i < 96; i++) print i * 37 % 101 - 50 }' | array wide.npy 1 "2, 48"
run "blocks of GGUF" --weights blocks.npy --effort 0 --format gguf-q8_0 --out gguf
is packed gguf-q8_0
is bits 8
is scale group:32
is scale_format float16
expect "4 blocks of 34 bytes" has gguf/packed.npy "'shape': (136,), }"
expect "the first code stands behind its scale" test "$(od -An -v -t d1 -j 130 -N 1 gguf/packed.npy | tr -d ' ')" = \
    "$(od -An -v -t d1 -j 128 -N 1 gguf/codes.npy | tr -d ' ')"
run "parts of TFLite" --weights blocks.npy --effort 0 --format tflite_int8 --bits 8 --out tflite
is packed tflite-int8
expect "one file for all parts" test -f tflite/packed.safetensors -a ! -e tflite/packed.npy
expect "parts by name" grep -aqF '"weight": {"dtype": "I8", "shape": [2, 64], "data_offsets": [0, 128]}' tflite/packed.safetensors
run "scale files of ncnn" --weights blocks.npy --effort 0 --format ncnn-int8 --out ncnn
expect "a scale for each channel, by name" awk 'NF == 3 && $1 == "layer_param_0" { ok = NR == 1 } END { exit !ok }' ncnn/packed.table
expect "reciprocals" test "$(awk '{ printf "%.5g %.5g", 1 / $2, 1 / $3 }' ncnn/packed.table)" = \
    "$(numbers ncnn/scales.npy | awk '{ printf "%.5g %.5g", $1, $2 }')"
run "rows of ncnn" --weights blocks.npy --effort 0 --bits 6 --scale group:32 --format ncnn-gemm --out ncnn
expect "rows by name" grep -q '^layer_param_0 bits=6 block=32 method=gptq qweight=packed.bin \([^ ]* \)\{3\}[^ ]*$' ncnn/packed.table
expect "6 bits a code" test "$(wc -c <ncnn/packed.bin)" -eq 96

# ---- convolutions: (3, 2, 5, 6), M = 4, 3 x 3 ---------------------------------------------------------------------

awk -v seed=21 "$random"' BEGIN { for (i = 0; i < 4 * 2 * 9; i++) print draw(201) - 100 }' >cw
awk -v seed=22 "$random"' BEGIN { for (i = 0; i < 3 * 2 * 5 * 6; i++) { v = draw(300) - 120; print (v > 0 ? v : 0) } }' >cx
array cw.npy 2 "4, 2, 3, 3" <cw
array cwflat.npy 2 "4, 18" <cw
array cx.npy 2 "3, 2, 5, 6" <cx
awk '{ v[NR - 1] = $1 } END { for (n = 0; n < 3; n++) for (p = 0; p < 30; p++) for (c = 0; c < 2; c++)
    print v[(n * 2 + c) * 30 + p] }' cx | array cxlast.npy 2 "3, 5, 6, 2"
awk '{ v[NR - 1] = $1 } END { for (o = 0; o < 4; o++) for (p = 0; p < 9; p++) for (c = 0; c < 2; c++)
    print v[(o * 2 + c) * 9 + p] }' cw | array cwlast.npy 2 "4, 3, 3, 2"

# Stride 2 and 1, padding 0 above, 1 below, 1 on the left, 0 on the right: outputs of 2 x 5.
conv_error()
{
    codes "$1" >codes.txt
    numbers "$1/scales.npy" >scales.txt
    awk '
        FILENAME == "cw" { w[nw++] = $1 }
        FILENAME == "cx" { x[nx++] = $1 }
        FILENAME == "codes.txt" { for (f = 1; f <= NF; f++) q[nq++] = $f }
        FILENAME == "scales.txt" { for (f = 1; f <= NF; f++) s[ns++] = $f }
        END {
            for (n = 0; n < 3; n++) for (o = 0; o < 4; o++) for (r = 0; r < 2; r++) for (t = 0; t < 5; t++) {
                wanted = got = 0
                for (c = 0; c < 2; c++) for (i = 0; i < 3; i++) for (j = 0; j < 3; j++) {
                    row = 2 * r + i
                    column = t + j - 1
                    if (row < 5 && column >= 0 && column < 6) {
                        k = ((o * 2 + c) * 3 + i) * 3 + j
                        v = x[((n * 2 + c) * 5 + row) * 6 + column]
                        wanted += w[k] * v
                        got += s[o] * q[k] * v
                    }
                }
                above += (wanted - got) ^ 2
                below += wanted ^ 2
            }
            printf "%.9g", above / below
        }' cw cx codes.txt scales.txt
}

geometry="--stride 2x1 --pad 0:1x1:0 --bits 3"
# shellcheck disable=SC2086
{
    run "convolution" --weights cw.npy --input cx.npy $geometry --out conv
    is rows 30
    close "error of the convolution" "$(conv_error conv)" "$(value error)" 1e-4
    expect "codes keep the weights' shape" has conv/codes.npy "'shape': (4, 2, 3, 3), }"
    run "flat weights and a kernel" --weights cwflat.npy --conv 3x3 --input cx.npy $geometry --out two
    expect "the same codes from flat weights" test "$(codes two)" = "$(codes conv)"
    run "channels last" --weights cw.npy --input cxlast.npy --channels-last $geometry --out two
    expect "the same codes, channels last" cmp -s two/codes.npy conv/codes.npy
    run "OHWI weights" --weights cwlast.npy --ohwi --input cx.npy $geometry --out two
    close "error of the convolution, OHWI" "$(value error)" "$(conv_error conv)" 0.2
}
array c1w.npy 2 "4, 6, 3" <cw
array c1x.npy 2 "3, 2, 30" <cx
array c1wide.npy 2 "3, 6, 10" <cx
array c2w.npy 2 "4, 6, 1, 3" <cw
array c2wide.npy 2 "3, 6, 1, 10" <cx
array c3w.npy 2 "4, 6, 1, 3, 1" <cw
array c3wide.npy 2 "3, 6, 1, 10, 1" <cx
run "one dimension" --weights c1w.npy --input c1wide.npy --pad 1 --dilation 2 --out one
run "two dimensions" --weights c2w.npy --input c2wide.npy --pad 0x1 --dilation 1x2 --out two
expect "one dimension is two" test "$(codes one)" = "$(codes two)"
run "three dimensions" --weights c3w.npy --conv 1x3x1 --input c3wide.npy --pad 0x1x0 --dilation 1x2x1 --out two
expect "one dimension is three" test "$(codes one)" = "$(codes two)"
array dw.npy 2 "4, 1, 3, 3" <cw
array dwflat.npy 2 "4, 9" <cw
head -n 36 cw | array dw.npy 2 "4, 1, 3, 3"
head -n 36 cw | array dwflat.npy 2 "4, 9"
run "depthwise with a multiplier" --weights dw.npy --groups 2 --input cx.npy --pad 1 --out one
is groups 2
is fan_in 9
run "depthwise, flat" --weights dwflat.npy --groups 2 --conv 3x3 --input cx.npy --pad 1 --out two
expect "flat depthwise is the same" test "$(codes one)" = "$(codes two)"
awk 'BEGIN { for (g = 0; g < 2; g++) for (i = 0; i < 9; i++) for (j = 0; j < 9; j++) print i == j ? 5 : 1 }' |
    array dh.npy 1 "2, 9, 9"
run "depthwise from moments" --weights dw.npy --stats dh.npy
is groups 2

# ---- what is refused ----------------------------------------------------------------------------------------------

refuse 2 "weights is missing"
refuse 2 "unknown option '--wieghts'" --wieghts w.npy
refuse 2 "'w.npy'" w.npy
refuse 2 "--weights needs a value" --weights
refuse 2 "--weights needs a value" --weights ""
refuse 2 "--ohwi takes no value" --weights w.npy --ohwi=1
refuse 2 "stats or --input is missing" --weights w.npy
refuse 2 "exclude each other" --weights w.npy --stats h.npy --input x.npy
for value in 1 9 -1 3.5 three 99999999999999999999 "" " 4" 4x; do
    refuse 2 "bits is a whole number from 2 to 8, not '$value'" --weights w.npy --stats h.npy --bits "$value" --out none
done
for value in -0.1 1.1 nan inf x "" 0.5x; do
    refuse 2 "mu is a number from 0 to 1, not '$value'" --weights w.npy --stats h.npy --mu "$value"
    refuse 2 "damping is a number from 0 to 1, not '$value'" --weights w.npy --stats h.npy --damping "$value"
done
refuse 2 "range is one of symmetric, full, .*not 'half'" --weights w.npy --stats h.npy --range half
refuse 2 "solver is one of auto, round, paper" --weights w.npy --stats h.npy --solver best
refuse 2 "effort is a whole number from 0 to 9" --weights w.npy --stats h.npy --effort 10
refuse 2 "threads is a whole number from 1 to 1024" --weights w.npy --stats h.npy --threads 0
for value in row group group: group:0 group:x "group:3 "; do
    refuse 2 "scale is tensor, channel or group" --weights w.npy --stats h.npy --scale "$value"
done
for value in 0 3x 3x3x3x3 x3 3x-1 3,3 3:3 1000001; do
    refuse 2 "conv is one to three whole numbers" --weights w.npy --input x.npy --conv "$value"
done
for value in : 1: 1:2: 1x1x1x1 -1; do
    refuse 2 "pad is one to three whole numbers or pairs" --weights w.npy --input x.npy --pad "$value"
done
refuse 2 "stride has 2 numbers, the kernel has 1" --weights c1w.npy --input c1wide.npy --stride 1x1
for value in "--range full" "--scale tensor" "--scale-format float16"; do
    # shellcheck disable=SC2086
    refuse 2 "solver paper knows" --weights w.npy --stats h.npy --solver paper $value
done
refuse 2 "pad needs --input" --weights w.npy --stats h.npy --pad 1
refuse 2 "pad 1000000 is more than the 3 inputs that the kernel reaches over" --weights c1w.npy --input c1wide.npy --pad 1000000
refuse 2 "pad 4 is more than the 3 inputs" --weights c1w.npy --input c1wide.npy --pad 0:4
run "padding as far as the kernel reaches" --weights c1w.npy --input c1wide.npy --pad 3
run "padding as far as the dilated kernel reaches" --weights c1w.npy --input c1wide.npy --pad 5 --dilation 2
refuse 2 "need --conv" --weights w.npy --input x.npy --pad 1
refuse 2 "act-bits needs --input" --weights w.npy --stats h.npy --act-bits 8
refuse 2 "act-bits is a whole number" --weights w.npy --input x.npy --act-bits 1
refuse 2 "act-bits is a whole number" --weights w.npy --input x.npy --act-bits 9
refuse 2 "need --act-bits" --weights w.npy --input x.npy --act-type signed
refuse 2 "select-on-held-out needs --held-out" --weights w.npy --stats h.npy --select-on-held-out
refuse 2 "format needs --out" --weights w.npy --stats h.npy --format int8
refuse 2 "format holds 2 bits, --bits is 4" --weights w.npy --stats h.npy --bits 4 --format onnx-int2 --out none
refuse 2 "format has no 'gguf-q4_9'" --weights w.npy --stats h.npy --format gguf-q4_9 --out none
refuse 2 "format gptq: weight_bits is 5, gptq holds 2, 3, 4, 8" --weights w.npy --stats h.npy --bits 5 --format gptq --out none
refuse 1 "gguf_q8_0 has blocks of 32 inputs; fan_in is 48" --weights wide.npy --effort 0 --format gguf-q8_0 --out none
refuse 1 "gguf_q8_0 holds scales of 32 inputs, these are of 16" --weights wide.npy --effort 0 --format gguf-q8_0 --scale group:16 --out none
refuse 2 "there are 2 --input but 1 --target" --weights w.npy --input x1.npy --input x2.npy --target y1.npy

refuse 1 "missing.npy: No such file" --weights missing.npy --stats h.npy --out none
refuse 1 "x.npy: shape (300, 10) where (1, 10, 10) is needed" --weights w.npy --stats x.npy --out none
refuse 1 "h.npy: shape (10, 10) where (1, 18, 18)" --weights cwflat.npy --stats h.npy --out none
refuse 1 "b.npy: shape (6) where (M, n)" --weights b.npy --stats h.npy --out none
refuse 1 "x.npy: shape (300, 10) where (6)" --weights w.npy --bias x.npy --stats h.npy --out none
refuse 1 "cx.npy: shape (3, 2, 5, 6) where (rows, 10), or --conv" --weights w.npy --input cx.npy --out none
refuse 1 "cxlast.npy: shape (3, 5, 6, 2) where (size, 2, H, W)" --weights cw.npy --input cxlast.npy --out none
refuse 1 "cx.npy: shape (3, 2, 5, 6) where (size, H, W, 2)" --weights cw.npy --input cx.npy --channels-last --out none
refuse 1 "cw.npy: shape (4, 2, 3, 3) where the kernel" --weights cw.npy --input cx.npy --conv 5x5 --out none
refuse 1 "w.npy: shape (6, 10) where a multiple" --weights w.npy --input cx.npy --conv 3x3 --out none
refuse 1 "y1.npy: shape (70, 6) where (300, 6)" --weights w.npy --input x.npy --target y1.npy --out none
refuse 1 "y.npy: shape (300, 6) where (3, 4, 3, 4)" --weights cw.npy --input cx.npy --target y.npy --out none
refuse 1 "kernel" --weights cw.npy --input cx.npy --dilation 9 --out none
refuse 1 "2 groups, --groups is 4" --weights dw.npy --stats dh.npy --groups 4 --out none
refuse 1 "groups" --weights w.npy --stats h.npy --groups 4 --out none
refuse 1 "dh.npy: shape (2, 9, 9) where (1, 10, 10)" --weights w.npy --stats h.npy --held-out dh.npy --out none
refuse 1 "group" --weights w.npy --stats h.npy --scale group:11 --out none
refuse 1 "rb/none: No such file" --weights w.npy --stats h.npy --out rb/none
refuse 1 "w.npy: not a directory" --weights w.npy --stats h.npy --out w.npy
head -c 140 w.npy >short.npy
refuse 1 "short.npy: the file is too short" --weights short.npy --stats h.npy --out none
echo "not an array" >text.npy
refuse 1 "text.npy: not a .npy file" --weights text.npy --stats h.npy --out none
refuse 1 "text.npy: not a .npy file" --weights w.npy --input text.npy --out none
refuse 1 "Is a directory" --weights lin --stats h.npy --out none
: | array empty.npy 2 "0, 10"
refuse 1 "empty.npy: the array is empty" --weights w.npy --input empty.npy --out none
awk 'BEGIN { for (i = 0; i < 100; i++) print i % 11 ? 0 : i == 44 ? -1 : 3 }' | array negative.npy 1 "10, 10"
refuse 1 "negative.npy: " --weights w.npy --stats negative.npy --out none
awk 'BEGIN { for (i = 0; i < 100; i++) print i % 11 ? 0 : 3; }' | sed '2s/.*/1/' | array skew.npy 1 "10, 10"
refuse 1 "skew.npy: " --weights w.npy --stats skew.npy --out none
{
    printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 10), }"
    printf '\000\000\200\077\000\000\300\177\000\000\000\000\000\000\000\000\000\000\000\000'
    printf '\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000'
} >nan.npy
refuse 1 "nan.npy: " --weights nan.npy --stats h.npy --out none
refuse 1 "nan.npy: " --weights w.npy --input nan.npy --out none

cp -r lin before
"$tool" --weights w.npy --input nan.npy --out lin >json 2>stderr
expect "a failure leaves older results alone" diff -r before lin

# ---- what is around it --------------------------------------------------------------------------------------------

run "help" --help
for name in weights bias stats input target held-out conv stride pad dilation groups channels-last ohwi bits range scale \
    scale-format solver effort select-on-held-out lower-bound threads mu damping bias-correction act-bits act-type act-clip \
    act-scale out format json version; do
    expect "help names --$name" grep -q -- "--$name" json
done
run "version" --version
expect "version" grep -qx "bsq-layer [0-9]*\.[0-9]*\.[0-9]*" json

if [ -w /dev/full ]; then
    "$tool" --weights w.npy --stats h.npy >/dev/full 2>stderr
    expect "a full disk behind stdout" test $? -eq 1
    expect "and a message" grep -q "^bsq-layer: stdout: " stderr
else
    skip "no /dev/full"
fi

# A layer that takes long enough to be stopped.
awk -v seed=31 "$random"' BEGIN { for (i = 0; i < 256 * 256; i++) print draw(201) - 100 }' >big
array bigw.npy 1 "256, 256" <big
awk -v seed=32 "$random"' BEGIN { for (i = 0; i < 256 * 256; i++) print draw(100) }' >big
array bigx.npy 1 "256, 256" <big
for signal in INT TERM; do
    timeout --preserve-status -s $signal 0.3 "$tool" --weights bigw.npy --input bigx.npy --effort 9 --out none \
        >json 2>stderr
    status=$?
    expect "status after SIG$signal is $status" test $status -eq "$([ $signal = INT ] && echo 130 || echo 143)"
    expect "one line after SIG$signal" test "$(cat stderr)" = "bsq-layer: interrupted"
    expect "nothing on stdout after SIG$signal" test ! -s json
    expect "no output after SIG$signal" test ! -e none
done

if command -v script >/dev/null; then
    TERM=xterm script -qec "$tool --weights bigw.npy --input bigx.npy --effort 1" /dev/null >terminal 2>stderr
    expect "a bar on a terminal" grep -q '\[#.*%' terminal
else
    skip "script is not installed: no terminal to draw on"
fi

if "$PYTHON" -c 'import json' 2>/dev/null; then
    for layout in compact pretty; do
        run "JSON, $layout" --weights w.npy --input x.npy --act-bits 8 --bias-correction --json $layout
        expect "strict JSON, $layout" "$PYTHON" -c 'import json, sys
json.load(open("json"), parse_constant=lambda name: sys.exit(name))'
    done
else
    skip "$PYTHON cannot check the JSON"
fi

echo "bsq-layer: $passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
