/* Which kernels run here. */
#include "bsq.h"
#include "kernels.h"

#include <stdatomic.h>
#include <stddef.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>

/* State that the operating system keeps for a thread: SSE and AVX, and what AVX-512 has besides. */
enum { KEEPS_AVX = 0x6, KEEPS_AVX512 = 0xe6 };

static uint32_t kept_state(void)
{
    uint32_t low, high;

    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static bool has(uint32_t bits, uint32_t wanted)
{
    return (bits & wanted) == wanted;
}

static bool runs(int32_t id)
{
    uint32_t eax, ebx, ecx, edx, kept;

    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !has(ecx, bit_OSXSAVE | bit_AVX | bit_FMA))
        return false;
    kept = kept_state();
    if (!has(kept, KEEPS_AVX) || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !has(ebx, bit_AVX2))
        return false;
    if (id == BSQ_KERNEL_AVX2)
        return true;
    return has(kept, KEEPS_AVX512) && has(ebx, bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ);
}

#else

/* NEON belongs to every machine that it is compiled for. */
static bool runs(int32_t id)
{
    return id == BSQ_KERNEL_NEON;
}

#endif

const struct bsq_kernels *bsq_kernels_by_id(int32_t id)
{
    const struct bsq_kernels *kernels = NULL;

    switch (id) {
    case BSQ_KERNEL_PORTABLE: return &bsq_kernels_portable;
    case BSQ_KERNEL_AVX2: kernels = bsq_kernels_avx2(); break;
    case BSQ_KERNEL_AVX512: kernels = bsq_kernels_avx512(); break;
    case BSQ_KERNEL_NEON: kernels = bsq_kernels_neon(); break;
    default: break;
    }
    return kernels && runs(id) ? kernels : NULL;
}

static const struct bsq_kernels *find_best(void)
{
    const int32_t ids[] = {BSQ_KERNEL_AVX512, BSQ_KERNEL_AVX2, BSQ_KERNEL_NEON};

    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        const struct bsq_kernels *kernels = bsq_kernels_by_id(ids[i]);

        if (kernels)
            return kernels;
    }
    return &bsq_kernels_portable;
}

/* Threads that come at once find the same. */
static _Atomic(const struct bsq_kernels *) chosen;

const struct bsq_kernels *bsq_kernels(void)
{
    const struct bsq_kernels *kernels = atomic_load_explicit(&chosen, memory_order_acquire);

    if (!kernels) {
        kernels = find_best();
        atomic_store_explicit(&chosen, kernels, memory_order_release);
    }
    return kernels;
}

bool bsq_kernels_force(int32_t id)
{
    const struct bsq_kernels *kernels = id ? bsq_kernels_by_id(id) : find_best();

    if (kernels)
        atomic_store_explicit(&chosen, kernels, memory_order_release);
    return kernels != NULL;
}
