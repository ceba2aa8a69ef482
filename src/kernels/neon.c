/* The inner loops with NEON, which every 64-bit ARM has. */
#include "vectors.h"

#if defined(__aarch64__) && defined(__ARM_NEON) && !defined(__AARCH64EB__)

#include "bsq.h"

#include <arm_neon.h>
#include <float.h>
#include <math.h>
#include <string.h>

enum { FLOATS = 4, KEY_MASK = 0x3 };

typedef float32x4_t floats;
typedef int32x4_t ints;
typedef float64x2_t keys;
typedef uint32x4_t mask;

static INLINE floats f_load(const float *from)
{
    return vld1q_f32(from);
}

static INLINE void f_store(float *to, floats a)
{
    vst1q_f32(to, a);
}

static INLINE floats f_all(float a)
{
    return vdupq_n_f32(a);
}

static INLINE floats f_add(floats a, floats b)
{
    return vaddq_f32(a, b);
}

static INLINE floats f_sub(floats a, floats b)
{
    return vsubq_f32(a, b);
}

static INLINE floats f_mul(floats a, floats b)
{
    return vmulq_f32(a, b);
}

static INLINE floats f_multiply_add(floats a, floats b, floats c)
{
    return vfmaq_f32(c, a, b);
}

static INLINE floats f_select(mask m, floats yes, floats no)
{
    return vbslq_f32(m, yes, no);
}

static INLINE floats f_min(floats a, floats b)
{
    return f_select(vcltq_f32(a, b), a, b);
}

static INLINE floats f_max(floats a, floats b)
{
    return f_select(vcgtq_f32(a, b), a, b);
}

static INLINE mask f_at_most(floats a, floats b)
{
    return vcleq_f32(a, b);
}

static INLINE bool f_any_at_most(floats a, floats b)
{
    return vmaxvq_u32(vcleq_f32(a, b)) != 0;
}

static INLINE ints i_load(const int32_t *from)
{
    return vld1q_s32(from);
}

static INLINE void i_store(int32_t *to, ints a)
{
    vst1q_s32(to, a);
}

static INLINE ints i_all(int32_t a)
{
    return vdupq_n_s32(a);
}

static INLINE ints i_add(ints a, ints b)
{
    return vaddq_s32(a, b);
}

static INLINE ints i_sub(ints a, ints b)
{
    return vsubq_s32(a, b);
}

static INLINE ints i_and(ints a, ints b)
{
    return vandq_s32(a, b);
}

static INLINE ints i_shift_right(ints a, int bits)
{
    return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a), vdupq_n_s32(-bits)));
}

static INLINE floats f_from_bits(ints a)
{
    return vreinterpretq_f32_s32(a);
}

static INLINE ints i_from_bits(floats a)
{
    return vreinterpretq_s32_f32(a);
}

static INLINE ints i_from_codes(floats code)
{
    return i_add(vcvtq_s32_f32(code), i_all(128));
}

static INLINE floats f_from_codes(ints a)
{
    return vcvtq_f32_s32(i_sub(a, i_all(128)));
}

/* Bytes 4 i .. 4 i + 3 for each i. */
static INLINE uint8x16_t bytes_of(ints at)
{
    return vreinterpretq_u8_s32(vmlaq_n_s32(i_all(0x03020100), at, 0x04040404));
}

static INLINE floats f_lookup_one(floats table, ints at)
{
    return vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(table), bytes_of(at)));
}

static INLINE uint8x16x4_t four_vectors(const float *table)
{
    const uint8_t *bytes = (const uint8_t *)(const void *)table;
    uint8x16x4_t four;

    four.val[0] = vld1q_u8(bytes);
    four.val[1] = vld1q_u8(bytes + 16);
    four.val[2] = vld1q_u8(bytes + 32);
    four.val[3] = vld1q_u8(bytes + 48);
    return four;
}

/* One table holds 16 floats, 64 bytes; an index outside of it leaves what was there. */
static INLINE floats f_lookup(const float *table, ints at, int vectors)
{
    uint8x16_t bytes = bytes_of(at), found;

    if (vectors == 1)
        return f_lookup_one(f_load(table), at);
    if (vectors == 2) {
        const uint8_t *from = (const uint8_t *)(const void *)table;
        uint8x16x2_t two;

        two.val[0] = vld1q_u8(from);
        two.val[1] = vld1q_u8(from + 16);
        return vreinterpretq_f32_u8(vqtbl2q_u8(two, bytes));
    }
    found = vqtbl4q_u8(four_vectors(table), bytes);
    for (int i = 4; i < vectors; i += 4)
        found = vqtbx4q_u8(found, four_vectors(table + i * FLOATS), vsubq_u8(bytes, vdupq_n_u8((uint8_t)(16 * i))));
    return vreinterpretq_f32_u8(found);
}

static INLINE ints i_lookup(const int32_t *table, ints at, int vectors)
{
    return i_from_bits(f_lookup((const float *)(const void *)table, at, vectors));
}

static INLINE keys k_lower(ints low, ints high)
{
    return vreinterpretq_f64_s32(vzip1q_s32(low, high));
}

static INLINE keys k_upper(ints low, ints high)
{
    return vreinterpretq_f64_s32(vzip2q_s32(low, high));
}

static INLINE ints k_low(keys lower, keys upper)
{
    return vuzp1q_s32(vreinterpretq_s32_f64(lower), vreinterpretq_s32_f64(upper));
}

static INLINE ints k_high(keys lower, keys upper)
{
    return vuzp2q_s32(vreinterpretq_s32_f64(lower), vreinterpretq_s32_f64(upper));
}

static INLINE keys k_min(keys a, keys b)
{
    return vminq_f64(a, b);
}

static INLINE keys k_max(keys a, keys b)
{
    return vmaxq_f64(a, b);
}

static INLINE keys k_select(int m, keys yes, keys no)
{
    switch (m) {
    case 0: return no;
    case 1: return vcombine_f64(vget_low_f64(yes), vget_high_f64(no));
    case 2: return vcombine_f64(vget_low_f64(no), vget_high_f64(yes));
    default: return yes;
    }
}

static INLINE keys k_swap(keys a, int bit)
{
    (void)bit;
    return vextq_f64(a, a, 1);
}

static INLINE keys k_min_or_max(keys a, keys b, int m)
{
    return k_select(m, k_max(a, b), k_min(a, b));
}

static INLINE keys d_load(const double *from)
{
    return vld1q_f64(from);
}

static INLINE void d_store(double *to, keys a)
{
    vst1q_f64(to, a);
}

static INLINE ints i_mark(ints marks, floats x, int32_t bit)
{
    return vorrq_s32(marks, vbicq_s32(vdupq_n_s32(bit), vreinterpretq_s32_u32(vceqzq_f32(x))));
}

static INLINE keys d_all(double a)
{
    return vdupq_n_f64(a);
}

static INLINE keys d_add(keys a, keys b)
{
    return vaddq_f64(a, b);
}

static INLINE keys d_multiply_add(keys a, keys b, keys c)
{
    return vfmaq_f64(c, a, b);
}

enum { PRODUCT_ROWS = 4, PRODUCT_VECTORS = 4, PART_VECTORS = 6 };

#include "beam_lanes.h"
#include "loops.h"
#include "gemm_tn.h"
#include "syrk.h"

static const struct bsq_kernels kernels = KERNELS(BSQ_KERNEL_NEON, beam, multiply, multiply_itself);

const struct bsq_kernels *bsq_kernels_neon(void)
{
    return &kernels;
}

#else

const struct bsq_kernels *bsq_kernels_neon(void)
{
    return 0;
}

#endif
