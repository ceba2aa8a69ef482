/* Memory: the host's hooks, alignment, sizes that overflow, accounting. */
#include "base/memory.h"

#include <check.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* A heap that counts, returns blocks that are aligned as badly as is allowed, and fails on demand. */
struct heap {
    int64_t blocks;
    size_t asked; /* by the last call */
    size_t shift;
    bool fails;
    void *freed;
};

enum { SPACE = 64 };

static void *heap_alloc(size_t size, void *opaque)
{
    struct heap *heap = opaque;
    char *raw;

    heap->asked = size;
    if (heap->fails)
        return NULL;
    raw = malloc(size + SPACE);
    ck_assert_ptr_nonnull(raw);
    heap->blocks++;
    memset(raw, 0xEE, size + SPACE);
    return raw + heap->shift;
}

static void heap_free(void *block, void *opaque)
{
    struct heap *heap = opaque;

    ck_assert_ptr_nonnull(block);
    heap->blocks--;
    heap->freed = block;
    free((char *)block - heap->shift);
}

static struct bsq_memory hooks(struct heap *heap)
{
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    options.memory_alloc = heap_alloc;
    options.memory_free = heap_free;
    options.memory_opaque = heap;
    return bsq_memory_hooks(&options);
}

START_TEST(hooks_of_options)
{
    struct heap one = {0}, two = {0};
    struct bsq_memory a = hooks(&one), b = hooks(&two), standard = bsq_memory_hooks(NULL);
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);

    struct bsq_memory unset = bsq_memory_hooks(&options);

    ck_assert(bsq_memory_same(&a, &a) && !bsq_memory_same(&a, &b) && !bsq_memory_same(&a, &standard));
    ck_assert(bsq_memory_same(&standard, &unset));

    unsigned char *block = bsq_memory_get(&standard, 100, 1);

    ck_assert_ptr_nonnull(block);
    memset(block, 1, 100);
    bsq_memory_put(&standard, block);
}
END_TEST

/* Blocks are aligned whatever the host's alignment, have their size, and go back to the host as they came. */
START_TEST(aligned_blocks)
{
    struct heap heap = {.shift = (size_t)_i * sizeof(max_align_t) % SPACE};
    struct bsq_memory memory = hooks(&heap);

    for (int64_t count = 0; count < 300; count++) {
        unsigned char *block = bsq_memory_get(&memory, count, 3);

        ck_assert_ptr_nonnull(block);
        ck_assert_uint_eq((uintptr_t)block % BSQ_ALIGNMENT, 0);
        ck_assert_uint_eq(heap.asked, bsq_memory_cost((size_t)count * 3));
        ck_assert_int_eq(heap.blocks, 1);
        memset(block, 0x55, (size_t)count * 3);
        bsq_memory_put(&memory, block);
        ck_assert_int_eq(heap.blocks, 0);
        /* The block lay inside of what the heap gave. */
        ck_assert((uintptr_t)block >= (uintptr_t)heap.freed);
        ck_assert((uintptr_t)block - (uintptr_t)heap.freed + (size_t)count * 3 <= heap.asked);
    }
    bsq_memory_put(&memory, NULL);
    ck_assert_int_eq(heap.blocks, 0);
}
END_TEST

START_TEST(zeroed_blocks)
{
    struct heap heap = {0};
    struct bsq_memory memory = hooks(&heap);
    unsigned char *block = bsq_memory_get_zeroed(&memory, 1000, 3);

    ck_assert_ptr_nonnull(block);
    for (int i = 0; i < 3000; i++)
        ck_assert_int_eq(block[i], 0);
    bsq_memory_put(&memory, block);
}
END_TEST

/* Nothing is asked of the host for a size that no address space holds. */
START_TEST(sizes_that_overflow)
{
    struct heap heap = {0};
    struct bsq_memory memory = hooks(&heap);

    ck_assert_ptr_null(bsq_memory_get(&memory, -1, 1));
    ck_assert_ptr_null(bsq_memory_get(&memory, INT64_MAX, 3));
    ck_assert_ptr_null(bsq_memory_get(&memory, INT64_MAX, SIZE_MAX));
    ck_assert_ptr_null(bsq_memory_get(&memory, 1, SIZE_MAX));
    ck_assert_ptr_null(bsq_memory_get(&memory, 2, SIZE_MAX / 2));
    ck_assert_ptr_null(bsq_memory_get_zeroed(&memory, INT64_MAX, 8));
    ck_assert_uint_eq(heap.asked, 0);
}
END_TEST

START_TEST(failing_host)
{
    struct heap heap = {.fails = true};
    struct bsq_memory memory = hooks(&heap);

    ck_assert_ptr_null(bsq_memory_get(&memory, 10, 1));
    ck_assert_ptr_null(bsq_memory_get_zeroed(&memory, 10, 1));
    ck_assert_int_eq(heap.blocks, 0);
}
END_TEST

START_TEST(extents)
{
    const int64_t values[] = {0, 1, 2, 3, 1 << 20, 3037000499, 3037000500, INT64_MAX / 2, INT64_MAX / 2 + 1, INT64_MAX};
    const size_t count = sizeof values / sizeof *values;

    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            int64_t a = values[i], b = values[j], result = 0, expected = 0;
            bool fits = !__builtin_mul_overflow(a, b, &expected);

            ck_assert_int_eq(bsq_extent_mul(a, b, &result), fits);
            if (fits)
                ck_assert_int_eq(result, expected);
            fits = !__builtin_add_overflow(a, b, &expected);
            ck_assert_int_eq(bsq_extent_add(a, b, &result), fits);
            if (fits)
                ck_assert_int_eq(result, expected);
        }
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("memory");
    TCase *all = tcase_create("all");

    tcase_add_test(all, hooks_of_options);
    tcase_add_loop_test(all, aligned_blocks, 0, 4);
    tcase_add_test(all, zeroed_blocks);
    tcase_add_test(all, sizes_that_overflow);
    tcase_add_test(all, failing_host);
    tcase_add_test(all, extents);
    suite_add_tcase(suite, all);
    return suite;
}
