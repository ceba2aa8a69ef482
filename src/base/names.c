/* The version of the library and the names of its values. */
#include "bsq.h"

int32_t bsq_version(void)
{
    return BSQ_VERSION;
}

const char *bsq_version_string(void)
{
    return BSQ_VERSION_STRING;
}

const char *bsq_stage_string(int32_t stage)
{
    switch (stage) {
    case BSQ_STAGE_STATISTICS: return "statistics";
    case BSQ_STAGE_ROUND: return "round";
    case BSQ_STAGE_PREPARE: return "prepare";
    case BSQ_STAGE_BEAM: return "beam";
    case BSQ_STAGE_BITSPLIT: return "bitsplit";
    case BSQ_STAGE_DESCENT: return "descent";
    case BSQ_STAGE_EXACT: return "exact";
    case BSQ_STAGE_SCALE: return "scale";
    case BSQ_STAGE_BIAS: return "bias";
    case BSQ_STAGE_NORM: return "norm";
    default: return "unknown";
    }
}

const char *bsq_outcome_string(int32_t outcome)
{
    switch (outcome) {
    case BSQ_OUTCOME_NONE: return "none";
    case BSQ_OUTCOME_CONVERGED: return "converged";
    case BSQ_OUTCOME_LIMIT: return "limit";
    case BSQ_OUTCOME_PROVEN: return "proven";
    default: return "unknown";
    }
}

const char *bsq_kernel_string(int32_t kernel)
{
    switch (kernel) {
    case BSQ_KERNEL_PORTABLE: return "portable";
    case BSQ_KERNEL_AVX2: return "avx2";
    case BSQ_KERNEL_AVX512: return "avx512";
    case BSQ_KERNEL_NEON: return "neon";
    default: return "unknown";
    }
}
