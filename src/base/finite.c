/* NaN and infinity in a host's buffers. */
#include "base/finite.h"

#include <math.h>
#include <string.h>

/* Values that are looked at together, in a loop of fixed length, of which compilers make vectors. */
enum { BLOCK = 64 };

/* Says whether one of BLOCK values is not finite: whether adding one to an exponent of ones carries into the sign. */
static int any_not_finite(const float *values)
{
    const uint32_t magnitude = INT32_MAX, exponent_unit = UINT32_C(1) << 23;
    uint32_t bits[BLOCK], carry = 0;

    memcpy(bits, values, sizeof bits);
    for (int i = 0; i < BLOCK; i++)
        carry |= (bits[i] & magnitude) + exponent_unit;
    return (carry & ~magnitude) != 0;
}

bsq_status_t bsq_check_finite(const char *name, const float *values, int64_t count, struct bsq_message *message)
{
    int64_t first = 0;

    while (count - first >= BLOCK && !any_not_finite(values + first))
        first += BLOCK;
    for (int64_t i = first; i < count; i++)
        if (!isfinite(values[i]))
            return bsq_fail(message, BSQ_E_NUMERIC, "%s[%lld] is %s", name, (long long)i,
                            isnan(values[i]) ? "NaN" : "infinite");
    return BSQ_OK;
}
