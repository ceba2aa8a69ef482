# Error (geometric mean over the layers) and time of every effort, from the points that bench_solver --data wrote:
#
#     gnuplot -e "points='FILE'; output_file='docs/effort.svg'" test/bench/plot.gp

set terminal svg size 1000,440 font 'sans-serif,13' background rgb 'white'
set output output_file
set multiplot layout 1,2
set logscale x
set format x '10^{%T}'
set grid linecolor rgb '#dddddd'
set border 3
set tics nomirror
set key below
set offsets 0, 0, graph 0.05, graph 0.05

set title '3 bits, symmetric, against published bit-split'
set xlabel 'time / bit-split as a NumPy loop'
set ylabel 'error / bit-split'
plot points index 0 using 1:2 with linespoints linecolor rgb '#1f5fa8' pointtype 7 title 'efforts', \
     points index 0 using 1:2:3 with labels offset 0.8,0.7 notitle, \
     0.50 with lines dashtype 2 linecolor rgb '#888888' title '0.50', \
     '+' using (1):(1) every ::::0 with points pointtype 5 linecolor rgb '#b03020' title 'bit-split'

set title 'Full range, against GPTQ'
set xlabel 'time / GPTQ arithmetic with the same BLAS'
set ylabel 'error / GPTQ'
plot for [i=1:3] points index i using 1:2 with linespoints linewidth 1 pointtype 5 + i title sprintf('%d bits', i + 1), \
     points index 1 using 1:2:3 with labels offset 0.8,0.7 notitle, \
     0.90 with lines dashtype 2 linecolor rgb '#888888' title '0.90', \
     '+' using (1):(1) every ::::0 with points pointtype 5 linecolor rgb '#b03020' title 'GPTQ'
unset multiplot
