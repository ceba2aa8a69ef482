/* The inner loops with AVX-512 (F, BW, VL, DQ). */
#include "vectors.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include "bsq.h"

#include <immintrin.h>
#include <float.h>
#include <math.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,fma")
#endif

enum { FLOATS = 16, KEY_MASK = 0xff };

typedef __m512 floats;
typedef __m512i ints;
typedef __m512d keys;
typedef __mmask16 mask;

static INLINE floats f_load(const float *from)
{
    return _mm512_loadu_ps(from);
}

static INLINE void f_store(float *to, floats a)
{
    _mm512_storeu_ps(to, a);
}

static INLINE floats f_all(float a)
{
    return _mm512_set1_ps(a);
}

static INLINE floats f_add(floats a, floats b)
{
    return _mm512_add_ps(a, b);
}

static INLINE floats f_sub(floats a, floats b)
{
    return _mm512_sub_ps(a, b);
}

static INLINE floats f_mul(floats a, floats b)
{
    return _mm512_mul_ps(a, b);
}

static INLINE floats f_multiply_add(floats a, floats b, floats c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static INLINE floats f_min(floats a, floats b)
{
    return _mm512_min_ps(a, b);
}

static INLINE floats f_max(floats a, floats b)
{
    return _mm512_max_ps(a, b);
}

static INLINE mask f_at_most(floats a, floats b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ);
}

static INLINE bool f_any_at_most(floats a, floats b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ) != 0;
}

static INLINE floats f_select(mask m, floats yes, floats no)
{
    return _mm512_mask_blend_ps(m, no, yes);
}

static INLINE ints i_load(const int32_t *from)
{
    return _mm512_loadu_si512(from);
}

static INLINE void i_store(int32_t *to, ints a)
{
    _mm512_storeu_si512(to, a);
}

static INLINE ints i_all(int32_t a)
{
    return _mm512_set1_epi32(a);
}

static INLINE ints i_add(ints a, ints b)
{
    return _mm512_add_epi32(a, b);
}

static INLINE ints i_sub(ints a, ints b)
{
    return _mm512_sub_epi32(a, b);
}

static INLINE ints i_and(ints a, ints b)
{
    return _mm512_and_si512(a, b);
}

static INLINE ints i_shift_right(ints a, int bits)
{
    return _mm512_srl_epi32(a, _mm_cvtsi32_si128(bits));
}

static INLINE floats f_from_bits(ints a)
{
    return _mm512_castsi512_ps(a);
}

static INLINE ints i_from_bits(floats a)
{
    return _mm512_castps_si512(a);
}

static INLINE ints i_from_codes(floats code)
{
    return i_add(_mm512_cvtps_epi32(code), i_all(128));
}

static INLINE floats f_from_codes(ints a)
{
    return _mm512_cvtepi32_ps(i_sub(a, i_all(128)));
}

static INLINE floats f_lookup_one(floats table, ints at)
{
    return _mm512_permutexvar_ps(at, table);
}

/* A permutation of two vectors reads five bits of an index. */
static INLINE floats f_lookup(const float *table, ints at, int vectors)
{
    if (vectors == 1)
        return f_lookup_one(f_load(table), at);

    floats low = _mm512_permutex2var_ps(f_load(table), at, f_load(table + FLOATS));

    if (vectors == 2)
        return low;

    floats high = _mm512_permutex2var_ps(f_load(table + 2 * FLOATS), at, f_load(table + 3 * FLOATS));

    return f_select(_mm512_test_epi32_mask(at, i_all(2 * FLOATS)), high, low);
}

static INLINE ints i_lookup(const int32_t *table, ints at, int vectors)
{
    return i_from_bits(f_lookup((const float *)(const void *)table, at, vectors));
}

static INLINE keys k_lower(ints low, ints high)
{
    return _mm512_castsi512_pd(_mm512_unpacklo_epi32(low, high));
}

static INLINE keys k_upper(ints low, ints high)
{
    return _mm512_castsi512_pd(_mm512_unpackhi_epi32(low, high));
}

static INLINE ints k_low(keys lower, keys upper)
{
    return i_from_bits(_mm512_shuffle_ps(_mm512_castpd_ps(lower), _mm512_castpd_ps(upper), 0x88));
}

static INLINE ints k_high(keys lower, keys upper)
{
    return i_from_bits(_mm512_shuffle_ps(_mm512_castpd_ps(lower), _mm512_castpd_ps(upper), 0xdd));
}

static INLINE keys k_min(keys a, keys b)
{
    return _mm512_min_pd(a, b);
}

static INLINE keys k_max(keys a, keys b)
{
    return _mm512_max_pd(a, b);
}

static INLINE keys k_select(int m, keys yes, keys no)
{
    return _mm512_mask_blend_pd((__mmask8)m, no, yes);
}

static INLINE keys k_swap(keys a, int bit)
{
    if (bit == 1)
        return _mm512_permute_pd(a, 0x55);
    if (bit == 4)
        return _mm512_shuffle_f64x2(a, a, 0xb1);
    return _mm512_shuffle_f64x2(a, a, 0x4e);
}

static INLINE keys k_min_or_max(keys a, keys b, int m)
{
    return _mm512_mask_max_pd(_mm512_min_pd(a, b), (__mmask8)m, a, b);
}

static INLINE keys d_load(const double *from)
{
    return _mm512_loadu_pd(from);
}

static INLINE void d_store(double *to, keys a)
{
    _mm512_storeu_pd(to, a);
}

static INLINE ints i_mark(ints marks, floats x, int32_t bit)
{
    __mmask16 found = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NEQ_UQ);

    return _mm512_mask_or_epi32(marks, found, marks, _mm512_set1_epi32(bit));
}

#define LISTS

static INLINE int64_t list_vector(const float *x, uint32_t *bits)
{
    __m512i all = _mm512_castps_si512(f_load(x));
    __mmask16 some = _mm512_test_epi32_mask(all, all);

    _mm512_storeu_si512(bits, _mm512_maskz_compress_epi32(some, all));
    return _mm_popcnt_u32(some);
}

static INLINE keys d_all(double a)
{
    return _mm512_set1_pd(a);
}

static INLINE keys d_add(keys a, keys b)
{
    return _mm512_add_pd(a, b);
}

static INLINE keys d_multiply_add(keys a, keys b, keys c)
{
    return _mm512_fmadd_pd(a, b, c);
}

enum { PRODUCT_ROWS = 8, PRODUCT_VECTORS = 2, PART_VECTORS = 2 };

#include "beam_lanes.h"
#include "loops.h"
#include "gemm_tn.h"
#include "syrk.h"

static const struct bsq_kernels kernels = KERNELS(BSQ_KERNEL_AVX512, beam, multiply, multiply_itself);

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const struct bsq_kernels *bsq_kernels_avx512(void)
{
    return &kernels;
}

#else

const struct bsq_kernels *bsq_kernels_avx512(void)
{
    return 0;
}

#endif
