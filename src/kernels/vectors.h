/* What beam_lanes.h, gemm_tn.h and syrk.h expect of the file that includes them:
 *
 *   FLOATS                    floats in a vector, a power of two
 *   KEY_MASK                  a bit for each double of a vector of doubles
 *   floats, ints, keys, mask  vectors of float, int32_t, double, and of truth for each float
 *
 * f_... are of floats, i_... of ints, k_... of keys:
 *
 *   _load, _store, _all       from and to memory without alignment; the same value everywhere
 *   f_min, f_max              the second where the first is not a number
 *   f_at_most, f_any_at_most  a <= b for each; whether any is
 *   f_from_bits, i_from_bits  the same bits
 *   f_from_codes, i_from_codes  a code as a float, to and from a code + 128 as an integer
 *   i_mark(marks, x, bit)     the marks, with the bit where x is not zero
 *   f_lookup(table, i, n)     table[i] where the table is n vectors in memory
 *   f_lookup_one(table, i)    table[i] where the table is a vector
 *   k_lower, k_upper          keys of low and high halves: of elements 4 i, 4 i + 1, and of 4 i + 2, 4 i + 3
 *   k_low, k_high             and back
 *   k_select(m, a, b)         a where the mask's bit is set, else b
 *   k_swap(a, bit)            element whose state differs in that bit (1 or from 4 on) of its index
 *   k_min_or_max(a, b, m)     the larger where the mask's bit is set, the smaller elsewhere
 *   d_load, d_store, d_all, d_add  the same for vectors of doubles, of the same type as keys
 *   f_multiply_add, d_multiply_add  a * b + c, rounded once */
#ifndef BSQ_SRC_KERNELS_VECTORS_H
#define BSQ_SRC_KERNELS_VECTORS_H

#include "kernels.h"

/* What sanitizers watch is many times larger: loops stay loops there, for compilers to end in time. */
#if defined(__SANITIZE_ADDRESS__)
#define ROLLED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ROLLED 1
#endif
#endif

/* Inlined even where a compiler thinks it too much: constant arguments are what these functions are fast by. */
#if defined(__GNUC__)
#define INLINE inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#define FIRST_BIT(mask) __builtin_ctzll(mask)
/* x[offset] is asked for, which may be beyond the end. */
#define PREFETCH(x, offset) __builtin_prefetch((const void *)((uintptr_t)(x) + (uintptr_t)(offset) * sizeof *(x)))
#else
#define INLINE inline
#define NOINLINE
#define PREFETCH(x, offset) ((void)(x))
#endif

#if defined(__GNUC__) && !defined(ROLLED)
#define UNROLL _Pragma("GCC unroll 16")
#else
#define UNROLL
#endif

/* Adding and subtracting 1.5 * 2^23 rounds a float of small magnitude to the nearest integer, ties to even. */
#define ROUNDER 12582912.0F

/* Error feedback of the lanes from 'first' on, in plain C. */
void bsq_beam_feedback(const struct bsq_beam_block *block, int64_t first);

#endif
