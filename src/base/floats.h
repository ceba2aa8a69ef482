/* The floating-point environment that calls work in. */
#ifndef BSQ_BASE_FLOATS_H
#define BSQ_BASE_FLOATS_H

#include <fenv.h>

/* The environment that a thread came with. */
struct bsq_floats {
    fenv_t before;
};

/* Switches this thread to round to nearest, without traps and with denormals, whatever it came with; and back. */
void bsq_floats_enter(struct bsq_floats *floats);
void bsq_floats_leave(const struct bsq_floats *floats);

#endif
