/* Runs a fuzz target without an engine: every file of a corpus folder, then a fixed number of mutations of them (of
 * random bytes where there is no folder), the same in every run.
 *
 *     fuzz_NAME [FOLDER] */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FILES = 1024, MOST_NAME = 1024, MOST_BYTES = 1 << 16, MUTATIONS = 3000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    uint8_t *data;
    size_t size;
};

struct corpus {
    char names[MOST_FILES][MOST_NAME];
    struct input inputs[MOST_FILES];
    size_t count;
};

static void fail(const char *what, const char *name)
{
    fprintf(stderr, "%s: %s\n", name, what);
    exit(EXIT_FAILURE);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static struct input read_file(const char *folder, const char *name)
{
    char path[2 * MOST_NAME + 2];
    struct input input = {malloc(MOST_BYTES), 0};
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "rb");
    if (!file || !input.data)
        fail("cannot be read", path);
    input.size = fread(input.data, 1, MOST_BYTES, file);
    if (!feof(file) && fgetc(file) != EOF)
        fail("is too large for a corpus", path);
    (void)fclose(file);
    return input;
}

static void read_folder(const char *folder, struct corpus *corpus)
{
    DIR *directory = opendir(folder);

    if (!directory)
        fail("is not a folder", folder);
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        if (entry->d_name[0] == '.')
            continue;
        if (corpus->count == MOST_FILES || strlen(entry->d_name) >= MOST_NAME)
            fail("has too many files, or too long names", folder);
        (void)snprintf(corpus->names[corpus->count++], MOST_NAME, "%s", entry->d_name);
    }
    (void)closedir(directory);
    qsort(corpus->names, corpus->count, MOST_NAME, by_name);
    for (size_t i = 0; i < corpus->count; i++)
        corpus->inputs[i] = read_file(folder, corpus->names[i]);
}

/* xorshift64 */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* One of: some bytes replaced, a bit turned, bytes cut off or appended, a piece copied elsewhere, an extreme number. */
static size_t mutate(uint8_t *data, size_t size, uint64_t *state)
{
    static const uint8_t extremes[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    size_t at = size ? next_random(state) % size : 0, length = next_random(state) % 16 + 1;

    if (size == 0 || (next_random(state) % 8 == 0 && size + length <= MOST_BYTES)) {
        for (size_t i = 0; i < length; i++)
            data[size + i] = (uint8_t)next_random(state);
        return size + length;
    }
    if (length > size - at)
        length = size - at;
    switch (next_random(state) % 5) {
    case 0:
        for (size_t i = 0; i < length; i++)
            data[at + i] = (uint8_t)next_random(state);
        return size;
    case 1: data[at] ^= (uint8_t)(1U << next_random(state) % 8); return size;
    case 2: return at;
    case 3: memmove(data + next_random(state) % (size - length + 1), data + at, length); return size;
    default: memset(data + at, extremes[next_random(state) % sizeof extremes], length < 8 ? length : 8); return size;
    }
}

/* What is mutated next: a file, or random bytes when there is none. */
static size_t start(const struct corpus *corpus, uint8_t *data, uint64_t *state)
{
    const struct input *from = corpus->count ? &corpus->inputs[next_random(state) % corpus->count] : NULL;
    size_t size = from ? from->size : next_random(state) % 512;

    for (size_t i = 0; i < size; i++)
        data[i] = from ? from->data[i] : (uint8_t)next_random(state);
    return size;
}

/* In a block of exactly its size, so that tools see reading beyond it. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy)
        fail("out of memory", "driver");
    if (size)
        memcpy(copy, data, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

int main(int argc, char **argv)
{
    static struct corpus corpus;
    static uint8_t data[MOST_BYTES + 16];
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

    if (argc > 1)
        read_folder(argv[1], &corpus);
    for (size_t i = 0; i < corpus.count; i++)
        run(corpus.inputs[i].data, corpus.inputs[i].size);
    for (int i = 0; i < MUTATIONS; i++) {
        size_t size = start(&corpus, data, &state);

        for (uint64_t step = next_random(&state) % 4 + 1; step > 0; step--)
            size = mutate(data, size, &state);
        run(data, size);
    }
    for (size_t i = 0; i < corpus.count; i++)
        free(corpus.inputs[i].data);
    printf("%s: %zu files and %d mutations\n", argv[0], corpus.count, (int)MUTATIONS);
    return EXIT_SUCCESS;
}
