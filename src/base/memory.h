/* Memory: the host's allocator hooks, with checked sizes and 64-byte alignment. */
#ifndef BSQ_BASE_MEMORY_H
#define BSQ_BASE_MEMORY_H

#include "bsq.h"

#include <stdbool.h>

/* Every block starts on a cache line, which is also the widest vector. */
enum { BSQ_ALIGNMENT = 64 };

struct bsq_memory {
    bsq_alloc_fn alloc;
    bsq_free_fn free;
    void *opaque;
};

/* The hooks of 'options' (NULL, or without hooks: malloc and free). */
struct bsq_memory bsq_memory_hooks(const bsq_options_t *options);
bool bsq_memory_same(const struct bsq_memory *a, const struct bsq_memory *b);

/* 'count' elements of 'size' bytes; NULL when the product overflows or the allocator fails. Never NULL for 0 bytes
 * otherwise. The second one clears the block. */
void *bsq_memory_get(const struct bsq_memory *memory, int64_t count, size_t size);
void *bsq_memory_get_zeroed(const struct bsq_memory *memory, int64_t count, size_t size);

/* NULL is allowed. */
void bsq_memory_put(const struct bsq_memory *memory, void *block);

/* Gives what bsq_memory_get asks from the allocator for that many bytes. */
size_t bsq_memory_cost(size_t bytes);

/* a * b and a + b for extents that are not negative; false when the result does not fit. */
bool bsq_extent_mul(int64_t a, int64_t b, int64_t *product);
bool bsq_extent_add(int64_t a, int64_t b, int64_t *sum);

/* Give the smaller and the larger of two extents. */
static inline int64_t bsq_extent_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t bsq_extent_most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Takes consecutive aligned arrays out of one block of memory; with NULL it only counts. */
struct bsq_carver {
    char *memory;
    size_t used;
};
void *bsq_carve(struct bsq_carver *carver, int64_t count, size_t size);

#endif
