/* The floating-point environment that calls work in. A file of its own, so that no compiler moves arithmetic across. */
#include "base/floats.h"

void bsq_floats_enter(struct bsq_floats *floats)
{
    (void)fegetenv(&floats->before);
    (void)fesetenv(FE_DFL_ENV);
}

void bsq_floats_leave(const struct bsq_floats *floats)
{
    (void)fesetenv(&floats->before);
}
