/* The inner loops with AVX2 and FMA. */
#include "vectors.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include "bsq.h"

#include <immintrin.h>
#include <float.h>
#include <math.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

enum { FLOATS = 8, KEY_MASK = 0xf };

typedef __m256 floats;
typedef __m256i ints;
typedef __m256d keys;
typedef __m256 mask;

static INLINE floats f_load(const float *from)
{
    return _mm256_loadu_ps(from);
}

static INLINE void f_store(float *to, floats a)
{
    _mm256_storeu_ps(to, a);
}

static INLINE floats f_all(float a)
{
    return _mm256_set1_ps(a);
}

static INLINE floats f_add(floats a, floats b)
{
    return _mm256_add_ps(a, b);
}

static INLINE floats f_sub(floats a, floats b)
{
    return _mm256_sub_ps(a, b);
}

static INLINE floats f_mul(floats a, floats b)
{
    return _mm256_mul_ps(a, b);
}

static INLINE floats f_multiply_add(floats a, floats b, floats c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static INLINE floats f_min(floats a, floats b)
{
    return _mm256_min_ps(a, b);
}

static INLINE floats f_max(floats a, floats b)
{
    return _mm256_max_ps(a, b);
}

static INLINE mask f_at_most(floats a, floats b)
{
    return _mm256_cmp_ps(a, b, _CMP_LE_OQ);
}

static INLINE bool f_any_at_most(floats a, floats b)
{
    return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LE_OQ)) != 0;
}

static INLINE floats f_select(mask m, floats yes, floats no)
{
    return _mm256_blendv_ps(no, yes, m);
}

static INLINE ints i_load(const int32_t *from)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

static INLINE void i_store(int32_t *to, ints a)
{
    _mm256_storeu_si256((__m256i *)(void *)to, a);
}

static INLINE ints i_all(int32_t a)
{
    return _mm256_set1_epi32(a);
}

static INLINE ints i_add(ints a, ints b)
{
    return _mm256_add_epi32(a, b);
}

static INLINE ints i_sub(ints a, ints b)
{
    return _mm256_sub_epi32(a, b);
}

static INLINE ints i_and(ints a, ints b)
{
    return _mm256_and_si256(a, b);
}

static INLINE ints i_shift_right(ints a, int bits)
{
    return _mm256_srl_epi32(a, _mm_cvtsi32_si128(bits));
}

static INLINE floats f_from_bits(ints a)
{
    return _mm256_castsi256_ps(a);
}

static INLINE ints i_from_bits(floats a)
{
    return _mm256_castps_si256(a);
}

static INLINE ints i_from_codes(floats code)
{
    return i_add(_mm256_cvtps_epi32(code), i_all(128));
}

static INLINE floats f_from_codes(ints a)
{
    return _mm256_cvtepi32_ps(i_sub(a, i_all(128)));
}

static INLINE floats f_lookup_one(floats table, ints at)
{
    return _mm256_permutevar8x32_ps(table, at);
}

/* A permutation reads three bits of an index, a blend its sign. */
static INLINE floats f_lookup(const float *table, ints at, int vectors)
{
    if (vectors == 1)
        return f_lookup_one(f_load(table), at);
    if (vectors > 2)
        return _mm256_i32gather_ps(table, at, 4);
    return f_select(f_from_bits(_mm256_slli_epi32(at, 28)), f_lookup_one(f_load(table + FLOATS), at),
                    f_lookup_one(f_load(table), at));
}

static INLINE ints i_lookup(const int32_t *table, ints at, int vectors)
{
    return i_from_bits(f_lookup((const float *)(const void *)table, at, vectors));
}

static INLINE keys k_lower(ints low, ints high)
{
    return _mm256_castsi256_pd(_mm256_unpacklo_epi32(low, high));
}

static INLINE keys k_upper(ints low, ints high)
{
    return _mm256_castsi256_pd(_mm256_unpackhi_epi32(low, high));
}

static INLINE ints k_low(keys lower, keys upper)
{
    return i_from_bits(_mm256_shuffle_ps(_mm256_castpd_ps(lower), _mm256_castpd_ps(upper), 0x88));
}

static INLINE ints k_high(keys lower, keys upper)
{
    return i_from_bits(_mm256_shuffle_ps(_mm256_castpd_ps(lower), _mm256_castpd_ps(upper), 0xdd));
}

static INLINE keys k_min(keys a, keys b)
{
    return _mm256_min_pd(a, b);
}

static INLINE keys k_max(keys a, keys b)
{
    return _mm256_max_pd(a, b);
}

/* A blend takes its mask as part of the instruction; these are the masks that sorting uses. */
static INLINE keys k_select(int m, keys yes, keys no)
{
    switch (m) {
    case 0x0: return no;
    case 0x3: return _mm256_blend_pd(no, yes, 0x3);
    case 0x5: return _mm256_blend_pd(no, yes, 0x5);
    case 0x6: return _mm256_blend_pd(no, yes, 0x6);
    case 0x9: return _mm256_blend_pd(no, yes, 0x9);
    case 0xa: return _mm256_blend_pd(no, yes, 0xa);
    case 0xc: return _mm256_blend_pd(no, yes, 0xc);
    default: return yes;
    }
}

static INLINE keys k_swap(keys a, int bit)
{
    if (bit == 1)
        return _mm256_permute_pd(a, 0x5);
    return _mm256_permute2f128_pd(a, a, 0x01);
}

static INLINE keys k_min_or_max(keys a, keys b, int m)
{
    return k_select(m, _mm256_max_pd(a, b), _mm256_min_pd(a, b));
}

static INLINE keys d_load(const double *from)
{
    return _mm256_loadu_pd(from);
}

static INLINE void d_store(double *to, keys a)
{
    _mm256_storeu_pd(to, a);
}

static INLINE ints i_mark(ints marks, floats x, int32_t bit)
{
    __m256 found = _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_NEQ_UQ);

    return _mm256_or_si256(marks, _mm256_and_si256(_mm256_castps_si256(found), _mm256_set1_epi32(bit)));
}

static INLINE keys d_all(double a)
{
    return _mm256_set1_pd(a);
}

static INLINE keys d_add(keys a, keys b)
{
    return _mm256_add_pd(a, b);
}

static INLINE keys d_multiply_add(keys a, keys b, keys c)
{
    return _mm256_fmadd_pd(a, b, c);
}

enum { PRODUCT_ROWS = 4, PRODUCT_VECTORS = 3, PART_VECTORS = 3 };

#include "beam_lanes.h"
#include "loops.h"
#include "gemm_tn.h"
#include "syrk.h"

static const struct bsq_kernels kernels = KERNELS(BSQ_KERNEL_AVX2, beam, multiply, multiply_itself);

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const struct bsq_kernels *bsq_kernels_avx2(void)
{
    return &kernels;
}

#else

const struct bsq_kernels *bsq_kernels_avx2(void)
{
    return 0;
}

#endif
