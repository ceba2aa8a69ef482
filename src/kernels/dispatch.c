/* Which kernels run here. */
#include "kernels.h"

const struct bsq_kernels *bsq_kernels_best(void)
{
    return &bsq_kernels_portable;
}
