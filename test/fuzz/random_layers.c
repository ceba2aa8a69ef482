/* Random small layers against figures recomputed from their rows.
 *
 *     random_layers --seed S --count N [--grids] [--extreme] [-v]
 *
 * Layer i is that of seed S + i: a failure prints its seed, and `--seed S --count 1 -v` replays it. --grids: all grids,
 * formats of scales and kept scales, where there is else a scale times a code. --extreme: magnitudes from 1e-38 to 1e38. */
#include "random_layers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_number(const char *text, uint64_t *value)
{
    char *end;

    errno = 0;
    *value = text ? strtoull(text, &end, 10) : 0;
    return text && *text && !*end && !errno;
}

int main(int argc, char **argv)
{
    struct tally tally = {0};
    uint64_t seed = 1, count = 1000;
    struct drawing drawing = {false, false};
    bool verbose = false;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--extreme")) {
            drawing.extreme = true;
        } else if (!strcmp(argv[i], "--grids")) {
            drawing.grids = true;
        } else if (!strcmp(argv[i], "-v")) {
            verbose = true;
        } else if (!((!strcmp(argv[i], "--seed") && read_number(argv[i + 1], &seed)) ||
                     (!strcmp(argv[i], "--count") && read_number(argv[i + 1], &count)))) {
            fputs("usage: random_layers --seed S --count N [--grids] [--extreme] [-v]\n", stderr);
            return 2;
        } else {
            i++;
        }
    }
    for (uint64_t k = 0; k < count; k++)
        check_layer(seed + k, drawing, verbose, &tally);
    printf(
        "random_layers%s%s: %lld layers from seed %llu, %lld refused, %lld failed; the slowest solve, seed %llu, took "
        "%.2f s\n",
        drawing.grids ? " --grids" : "", drawing.extreme ? " --extreme" : "", (long long)tally.layers,
        (unsigned long long)seed, (long long)tally.refused, (long long)tally.failures,
        (unsigned long long)tally.slowest, tally.seconds);
    return tally.failures ? 1 : 0;
}
