/* Memory: the host's allocator hooks, with checked sizes and 64-byte alignment. */
#define _DEFAULT_SOURCE /* madvise */
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

/* Room to move a block to the next cache line and to note, just before it, where it came from. */
enum { SLACK = BSQ_ALIGNMENT + (int)sizeof(void *) };

/* Blocks from here on are worth large pages. */
#define LARGE_BLOCK ((size_t)4 << 20)

/* Asks for large pages: the first touch of H costs as much as its products where a wide layer sees few rows. A system
 * that has none, or does not want to, loses nothing. */
static void prefer_large_pages(void *block, size_t size)
{
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    size_t page = (size_t)sysconf(_SC_PAGESIZE), skipped = (page - (uintptr_t)block % page) % page;

    if (size >= LARGE_BLOCK)
        (void)madvise((char *)block + skipped, (size - skipped) / page * page, MADV_HUGEPAGE);
#else
    (void)block, (void)size;
#endif
}

static void *default_alloc(size_t size, void *opaque)
{
    void *block = malloc(size);

    (void)opaque;
    if (block)
        prefer_large_pages(block, size);
    return block;
}

static void default_free(void *block, void *opaque)
{
    (void)opaque;
    free(block);
}

struct bsq_memory bsq_memory_hooks(const bsq_options_t *options)
{
    if (options && options->memory_alloc)
        return (struct bsq_memory){options->memory_alloc, options->memory_free, options->memory_opaque};
    return (struct bsq_memory){default_alloc, default_free, NULL};
}

bool bsq_memory_same(const struct bsq_memory *a, const struct bsq_memory *b)
{
    return a->alloc == b->alloc && a->free == b->free && a->opaque == b->opaque;
}

size_t bsq_memory_cost(size_t bytes)
{
    return bytes + SLACK;
}

void *bsq_memory_get(const struct bsq_memory *memory, int64_t count, size_t size)
{
    if (count < 0 || (size && (uint64_t)count > (SIZE_MAX - SLACK) / size))
        return NULL;

    char *raw = memory->alloc(bsq_memory_cost((size_t)count * size), memory->opaque);

    if (!raw)
        return NULL;

    uintptr_t start = (uintptr_t)(raw + sizeof(void *));
    char *block = raw + sizeof(void *) + (BSQ_ALIGNMENT - start % BSQ_ALIGNMENT) % BSQ_ALIGNMENT;

    memcpy(block - sizeof(void *), &raw, sizeof raw);
    return block;
}

void *bsq_memory_get_zeroed(const struct bsq_memory *memory, int64_t count, size_t size)
{
    void *block = bsq_memory_get(memory, count, size);

    if (block)
        memset(block, 0, (size_t)count * size);
    return block;
}

void bsq_memory_put(const struct bsq_memory *memory, void *block)
{
    void *raw;

    if (!block)
        return;
    memcpy(&raw, (char *)block - sizeof raw, sizeof raw);
    memory->free(raw, memory->opaque);
}

bool bsq_extent_mul(int64_t a, int64_t b, int64_t *product)
{
    if (b && a > INT64_MAX / b)
        return false;
    *product = a * b;
    return true;
}

bool bsq_extent_add(int64_t a, int64_t b, int64_t *sum)
{
    if (a > INT64_MAX - b)
        return false;
    *sum = a + b;
    return true;
}

void *bsq_carve(struct bsq_carver *carver, int64_t count, size_t size)
{
    size_t start = carver->used;

    carver->used += ((size_t)count * size + BSQ_ALIGNMENT - 1) / BSQ_ALIGNMENT * BSQ_ALIGNMENT;
    return carver->memory ? carver->memory + start : NULL;
}
