/* Memory for the library that is no number before it is written, and is counted. */
#include "random_heap.h"

#include <stdlib.h>
#include <string.h>

static void *take(size_t size, void *opaque)
{
    int64_t *blocks = opaque;
    void *block = malloc(size);

    if (block)
        memset(block, 0xff, size); /* NaN in both precisions */
    *blocks += block != NULL;
    return block;
}

static void give(void *block, void *opaque)
{
    int64_t *blocks = opaque;

    *blocks -= block != NULL;
    free(block);
}

void use_heap(bsq_options_t *options, int64_t *blocks)
{
    *blocks = 0;
    options->memory_alloc = take;
    options->memory_free = give;
    options->memory_opaque = blocks;
}
