/* Two-level scales and offsets: small integers times a number that several of them share. */
#include "base/two_level.h"

#include "base/grid.h"

#include <math.h>

struct bsq_two_level bsq_two_level_scales(int32_t format, int32_t bits, bool is_signed)
{
    if (is_signed)
        return (struct bsq_two_level){format, -(1 << (bits - 1)), (1 << (bits - 1)) - 1, false};
    return (struct bsq_two_level){format, 1, (1 << bits) - 1, false};
}

struct bsq_two_level bsq_two_level_offsets(int32_t format, int32_t bits)
{
    return (struct bsq_two_level){format, 0, (1 << bits) - 1, true};
}

/* Tells whether all numbers are allowed integers times 'shared'. */
static bool divides(const struct bsq_two_level *rule, const float *numbers, int64_t count, double shared,
                    int32_t *integers)
{
    for (int64_t i = 0; i < count; i++) {
        double integer = nearbyint((double)numbers[i] / shared), product = integer * shared;

        if (!(integer >= rule->lowest && integer <= rule->highest) || product < (double)numbers[i] ||
            product > (double)numbers[i] || (!rule->zero && !(integer < 0.0 || integer > 0.0)))
            return false;
        if (integers)
            integers[i] = (int32_t)integer;
    }
    return true;
}

bool bsq_two_level_split(const struct bsq_two_level *rule, const float *numbers, int64_t count, float sign,
                         float *shared, int32_t *integers)
{
    int32_t most = rule->highest > -rule->lowest ? rule->highest : -rule->lowest;
    float largest = 0.0f;

    *shared = 0.0f;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(numbers[i]))
            return false;
        largest = fmaxf(largest, fabsf(numbers[i]));
    }
    if (!(largest > 0.0f)) {
        for (int64_t i = 0; integers && i < count; i++)
            integers[i] = 0;
        return rule->zero;
    }
    for (int32_t k = 1; k <= most; k++) {
        float part = largest / (float)k;

        if ((double)part * k < (double)largest || (double)part * k > (double)largest ||
            !bsq_scale_is_value(rule->format, 0.0f, part))
            continue;
        for (int turn = 0; turn < (rule->lowest < 0 ? 2 : 1); turn++) {
            *shared = turn ? -part : part;
            if (divides(rule, numbers, count, (double)(sign * *shared), integers))
                return true;
        }
    }
    return false;
}
