/* NumPy's .npy files, read with suspicion and written plainly. */
#include "npy.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Headers of plain arrays have some hundred bytes; whatever claims more is not one. */
enum { MAX_HEADER = 65536, MAGIC_SIZE = 6, FIRST_READ = 65536 };

static const char magic[MAGIC_SIZE] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

/* Code letters and names in the order of enum npy_type. */
static const struct {
    char kind;
    char digit; /* bytes of an element */
    const char *name;
} types[] = {
    {'i', '1', "int8"},    {'i', '2', "int16"},   {'i', '4', "int32"},   {'i', '8', "int64"},
    {'u', '1', "uint8"},   {'u', '2', "uint16"},  {'u', '4', "uint32"},  {'u', '8', "uint64"},
    {'f', '2', "float16"}, {'f', '4', "float32"}, {'f', '8', "float64"}, {'b', '1', "bool"},
};

enum { TYPES = sizeof types / sizeof types[0] };

size_t npy_type_size(enum npy_type type)
{
    return (size_t)(types[type].digit - '0');
}

const char *npy_type_name(enum npy_type type)
{
    return types[type].name;
}

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static bool
fail(char *message, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, NPY_MESSAGE_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

static bool host_is_big_endian(void)
{
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 0;
}

/* ---- header: a Python dictionary literal ------------------------------------------------------------------- */

struct cursor {
    const char *at;
    const char *end;
};

struct header {
    enum npy_type type;
    bool swap;
    bool fortran;
    int32_t dims;
    int64_t shape[NPY_MAX_DIMS];
    int64_t count;
};

static void skip_spaces(struct cursor *cursor)
{
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\t' || *cursor->at == '\n')) {
        cursor->at++;
    }
}

/* Whether the next character is 'c', which is then passed. */
static bool accept(struct cursor *cursor, char c)
{
    skip_spaces(cursor);
    if (cursor->at == cursor->end || *cursor->at != c) {
        return false;
    }
    cursor->at++;
    return true;
}

/* A quoted string without escapes, into 'text' of 'capacity' bytes. */
static bool read_string(struct cursor *cursor, char *text, size_t capacity)
{
    skip_spaces(cursor);
    if (cursor->at == cursor->end || (*cursor->at != '\'' && *cursor->at != '"')) {
        return false;
    }
    const char quote = *cursor->at++;
    size_t length = 0;
    while (cursor->at < cursor->end && *cursor->at != quote) {
        if (length + 1 >= capacity || *cursor->at == '\\') {
            return false;
        }
        text[length++] = *cursor->at++;
    }
    text[length] = '\0';
    return accept(cursor, quote);
}

static bool read_word(struct cursor *cursor, const char *word)
{
    skip_spaces(cursor);
    const size_t length = strlen(word);
    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length) != 0) {
        return false;
    }
    cursor->at += length;
    return true;
}

static bool read_extent(struct cursor *cursor, int64_t *extent)
{
    skip_spaces(cursor);
    const char *start = cursor->at;
    int64_t value = 0;
    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9') {
        const int64_t digit = *cursor->at++ - '0';
        if (value > (INT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    const bool good = cursor->at > start;
    /* Python 2 wrote its long integers with a letter. */
    if (good && cursor->at < cursor->end && *cursor->at == 'L') {
        cursor->at++;
    }
    *extent = value;
    return good;
}

static bool read_shape(struct cursor *cursor, struct header *header, char *message)
{
    if (!accept(cursor, '(')) {
        return fail(message, "damaged .npy header: no shape");
    }
    bool more = true;
    header->dims = 0;
    while (!accept(cursor, ')')) {
        int64_t extent;
        if (!more || !read_extent(cursor, &extent)) {
            return fail(message, "damaged .npy header: the shape is not a tuple of numbers");
        }
        if (header->dims == NPY_MAX_DIMS) {
            return fail(message, "more than %d dimensions", NPY_MAX_DIMS);
        }
        header->shape[header->dims++] = extent;
        more = accept(cursor, ',');
    }
    return true;
}

static bool read_type(struct cursor *cursor, struct header *header, char *message)
{
    char text[16];
    if (!read_string(cursor, text, sizeof text)) {
        return fail(message, "the array has no plain number type (only integers, floats and bool can be read)");
    }
    const bool ordered = text[0] != '\0' && strchr("<>|=", text[0]) != NULL;
    const char *code = ordered ? text + 1 : text;
    for (int i = 0; i < TYPES; i++) {
        if (code[0] == types[i].kind && code[1] == types[i].digit && code[2] == '\0') {
            const bool big = text[0] == '>';
            const bool little = text[0] == '<';
            header->type = (enum npy_type)i;
            header->swap = host_is_big_endian() ? little : big;
            return true;
        }
    }
    return fail(message, "elements of type '%s' cannot be read (only bool, integers and floats of up to 8 bytes)",
                text);
}

static bool read_order(struct cursor *cursor, struct header *header, char *message)
{
    header->fortran = read_word(cursor, "True");
    if (!header->fortran && !read_word(cursor, "False")) {
        return fail(message, "damaged .npy header: fortran_order is not True or False");
    }
    return true;
}

enum { HAS_TYPE = 1, HAS_ORDER = 2, HAS_SHAPE = 4, HAS_ALL = 7 };

/* One key with its value. 'seen' collects HAS_... bits. */
static bool read_entry(struct cursor *cursor, struct header *header, int *seen, char *message)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    char key[16];
    if (!read_string(cursor, key, sizeof key) || !accept(cursor, ':')) {
        return fail(message, "damaged .npy header");
    }
    int bit = 0;
    for (int i = 0; i < 3; i++) {
        bit = strcmp(key, keys[i]) == 0 ? 1 << i : bit;
    }
    if (bit == 0 || (*seen & bit) != 0) {
        return fail(message, "damaged .npy header: a key that is unknown or there twice");
    }
    *seen |= bit;
    switch (bit) {
    case HAS_TYPE: return read_type(cursor, header, message);
    case HAS_ORDER: return read_order(cursor, header, message);
    default: return read_shape(cursor, header, message);
    }
}

/* The number of elements; false when elements and bytes cannot be counted. An extent of 0 makes the others harmless. */
static bool count_elements(struct header *header)
{
    const int64_t limit = INT64_MAX / (int64_t)npy_type_size(header->type);
    bool empty = false;
    for (int32_t i = 0; i < header->dims; i++) {
        empty = empty || header->shape[i] == 0;
    }
    header->count = empty ? 0 : 1;
    for (int32_t i = 0; i < header->dims && !empty; i++) {
        if (header->shape[i] > limit / header->count) {
            return false;
        }
        header->count *= header->shape[i];
    }
    return (uint64_t)header->count <= SIZE_MAX / npy_type_size(header->type);
}

static bool read_header(const char *text, size_t length, struct header *header, char *message)
{
    struct cursor cursor = {text, text + length};
    int seen = 0;
    if (!accept(&cursor, '{')) {
        return fail(message, "damaged .npy header");
    }
    bool more = true;
    while (!accept(&cursor, '}')) {
        if (!more) {
            return fail(message, "damaged .npy header");
        }
        if (!read_entry(&cursor, header, &seen, message)) {
            return false;
        }
        more = accept(&cursor, ',');
    }
    skip_spaces(&cursor);
    if (seen != HAS_ALL || cursor.at != cursor.end) {
        return fail(message, "damaged .npy header");
    }
    return count_elements(header) || fail(message, "damaged .npy header: the shape is too large for any file");
}

/* Finds and reads the header; '*offset' is where the elements start. */
static bool find_header(const unsigned char *bytes, size_t size, struct header *header, size_t *offset, char *message)
{
    if (size < MAGIC_SIZE || memcmp(bytes, magic, MAGIC_SIZE) != 0) {
        return fail(message, size == 0 ? "the file is empty" : "not a .npy file");
    }
    if (size < MAGIC_SIZE + 2) {
        return fail(message, "the file ends inside its header");
    }
    const unsigned version = bytes[6];
    if (version < 1 || version > 3 || bytes[7] != 0) {
        return fail(message, ".npy format version %u.%u is not known", version, (unsigned)bytes[7]);
    }
    const size_t start = version == 1 ? 10 : 12;
    if (size < start) {
        return fail(message, "the file ends inside its header");
    }
    uint64_t length = (uint64_t)bytes[8] | (uint64_t)bytes[9] << 8;
    if (version > 1) {
        length |= (uint64_t)bytes[10] << 16 | (uint64_t)bytes[11] << 24;
    }
    if (length > MAX_HEADER) {
        return fail(message, "damaged .npy header: %llu bytes long", (unsigned long long)length);
    }
    if (size - start < length) {
        return fail(message, "the file ends inside its header");
    }
    *offset = start + (size_t)length;
    return read_header((const char *)bytes + start, (size_t)length, header, message);
}

/* ---- elements ---------------------------------------------------------------------------------------------- */

static void swap_bytes(unsigned char *data, int64_t count, size_t size)
{
    for (int64_t i = 0; i < count; i++) {
        unsigned char *element = data + (size_t)i * size;
        for (size_t k = 0; k < size / 2; k++) {
            const unsigned char byte = element[k];
            element[k] = element[size - 1 - k];
            element[size - 1 - k] = byte;
        }
    }
}

/* Copies elements whose first index runs fastest into 'to', whose last index runs fastest. */
static void from_fortran(const struct header *header, const unsigned char *from, unsigned char *to)
{
    const size_t size = npy_type_size(header->type);
    int64_t step[NPY_MAX_DIMS];
    int64_t index[NPY_MAX_DIMS] = {0};
    int64_t elements = 1;
    for (int32_t i = 0; i < header->dims; i++) {
        step[i] = elements;
        elements *= header->shape[i];
    }
    int64_t source = 0;
    for (int64_t k = 0; k < header->count; k++) {
        memcpy(to + (size_t)k * size, from + (size_t)source * size, size);
        for (int32_t i = header->dims - 1; i >= 0; i--) {
            source += step[i];
            if (++index[i] < header->shape[i]) {
                break;
            }
            source -= step[i] * header->shape[i];
            index[i] = 0;
        }
    }
}

/* Takes the array out of a file's bytes; 'block' was malloc'ed and belongs to the array afterwards, or is freed. */
static bool take_block(unsigned char *block, size_t size, struct npy_array *array, char *message)
{
    struct header header = {.dims = 0};
    size_t offset = 0;
    if (!find_header(block, size, &header, &offset, message)) {
        free(block);
        return false;
    }
    const size_t needed = (size_t)header.count * npy_type_size(header.type);
    if (size - offset != needed) {
        free(block);
        return fail(message, "the file is %s for its shape: %llu bytes of elements instead of %llu",
                    size - offset < needed ? "too short" : "too long", (unsigned long long)(size - offset),
                    (unsigned long long)needed);
    }
    if (header.fortran && header.dims > 1 && header.count > 0) {
        unsigned char *ordered = malloc(needed);
        if (ordered == NULL) {
            free(block);
            return fail(message, "not enough memory");
        }
        from_fortran(&header, block + offset, ordered);
        free(block);
        block = ordered;
    } else {
        memmove(block, block + offset, needed);
    }
    if (header.swap) {
        swap_bytes(block, header.count, npy_type_size(header.type));
    }
    array->type = header.type;
    array->dims = header.dims;
    memcpy(array->shape, header.shape, sizeof array->shape);
    array->count = header.count;
    array->data = block;
    return true;
}

bool npy_parse(const void *bytes, size_t size, struct npy_array *array, char message[NPY_MESSAGE_SIZE])
{
    unsigned char *block = malloc(size > 0 ? size : 1);
    if (block == NULL) {
        return fail(message, "not enough memory");
    }
    if (size > 0) {
        memcpy(block, bytes, size);
    }
    return take_block(block, size, array, message);
}

/* The whole of 'file', malloc'ed. Works on pipes too; what does not begin like a .npy file is not read to its end. */
static unsigned char *read_file(FILE *file, size_t *size, char *message)
{
    size_t capacity = FIRST_READ;
    unsigned char *block = malloc(capacity);
    *size = 0;
    while (block != NULL) {
        *size += fread(block + *size, 1, capacity - *size, file);
        const bool foreign = *size >= MAGIC_SIZE && memcmp(block, magic, MAGIC_SIZE) != 0;
        if (*size < capacity || foreign) {
            break;
        }
        if (capacity > SIZE_MAX / 2) {
            free(block);
            block = NULL;
            break;
        }
        capacity *= 2;
        unsigned char *larger = realloc(block, capacity);
        if (larger == NULL) {
            free(block);
        }
        block = larger;
    }
    if (block == NULL) {
        fail(message, "not enough memory");
    } else if (ferror(file)) {
        fail(message, "%s", strerror(errno));
        free(block);
        block = NULL;
    }
    return block;
}

bool npy_load(const char *path, struct npy_array *array, char message[NPY_MESSAGE_SIZE])
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return fail(message, "%s", strerror(errno));
    }
    size_t size = 0;
    unsigned char *block = read_file(file, &size, message);
    fclose(file);
    return block != NULL && take_block(block, size, array, message);
}

void npy_free(struct npy_array *array)
{
    free(array->data);
    array->data = NULL;
    array->count = 0;
    array->dims = 0;
}

/* ---- conversion -------------------------------------------------------------------------------------------- */

static double half_to_double(uint16_t half)
{
    const int exponent = half >> 10 & 31;
    const double fraction = half & 1023;
    const double sign = (half >> 15) != 0 ? -1.0 : 1.0;
    if (exponent == 31) {
        return fraction > 0 ? (double)NAN : sign * (double)INFINITY;
    }
    if (exponent == 0) {
        return sign * ldexp(fraction, -24);
    }
    return sign * ldexp(fraction + 1024, exponent - 25);
}

static double element(const struct npy_array *array, int64_t i)
{
    const void *data = array->data;
    switch (array->type) {
    case NPY_INT8: return ((const int8_t *)data)[i];
    case NPY_INT16: return ((const int16_t *)data)[i];
    case NPY_INT32: return ((const int32_t *)data)[i];
    case NPY_INT64: return (double)((const int64_t *)data)[i];
    case NPY_BOOL:
    case NPY_UINT8: return ((const uint8_t *)data)[i];
    case NPY_UINT16: return ((const uint16_t *)data)[i];
    case NPY_UINT32: return ((const uint32_t *)data)[i];
    case NPY_UINT64: return (double)((const uint64_t *)data)[i];
    case NPY_FLOAT16: return half_to_double(((const uint16_t *)data)[i]);
    case NPY_FLOAT32: return (double)((const float *)data)[i];
    case NPY_FLOAT64: break;
    }
    return ((const double *)data)[i];
}

/* Room for as many elements of another size; never NULL for none of them. */
static void *new_elements(const struct npy_array *array, size_t size)
{
    if ((uint64_t)array->count > SIZE_MAX / size) {
        return NULL;
    }
    return malloc(array->count > 0 ? (size_t)array->count * size : 1);
}

static void *take_data(struct npy_array *array)
{
    void *data = array->data;
    array->data = NULL;
    return data;
}

float *npy_take_floats(struct npy_array *array)
{
    if (array->type == NPY_FLOAT32) {
        return take_data(array);
    }
    float *values = new_elements(array, sizeof *values);
    for (int64_t i = 0; values != NULL && i < array->count; i++) {
        values[i] = (float)element(array, i);
    }
    free(take_data(array));
    return values;
}

double *npy_take_doubles(struct npy_array *array)
{
    if (array->type == NPY_FLOAT64) {
        return take_data(array);
    }
    double *values = new_elements(array, sizeof *values);
    for (int64_t i = 0; values != NULL && i < array->count; i++) {
        values[i] = element(array, i);
    }
    free(take_data(array));
    return values;
}

/* ---- writing ----------------------------------------------------------------------------------------------- */

enum { HEADER_BLOCK = 64, LONGEST_HEADER = 256 };

/* The text of a version 1.0 header, padded so that the elements start on a multiple of 64 bytes. */
static size_t format_header(enum npy_type type, int32_t dims, const int64_t *shape, char text[LONGEST_HEADER])
{
    const char order = npy_type_size(type) == 1 ? '|' : host_is_big_endian() ? '>' : '<';
    int length = snprintf(text, LONGEST_HEADER, "{'descr': '%c%c%c', 'fortran_order': False, 'shape': (", order,
                          types[type].kind, types[type].digit);
    for (int32_t i = 0; i < dims; i++) {
        length += snprintf(text + length, LONGEST_HEADER - (size_t)length, "%lld%s", (long long)shape[i],
                           dims == 1      ? ","
                           : i + 1 < dims ? ", "
                                          : "");
    }
    length += snprintf(text + length, LONGEST_HEADER - (size_t)length, "), }");
    const size_t whole = (10 + (size_t)length + 1 + HEADER_BLOCK - 1) / HEADER_BLOCK * HEADER_BLOCK - 10;
    memset(text + length, ' ', whole - (size_t)length);
    text[whole - 1] = '\n';
    return whole;
}

bool npy_save(const char *path, enum npy_type type, int32_t dims, const int64_t *shape, const void *data)
{
    char text[LONGEST_HEADER];
    const size_t length = format_header(type, dims, shape, text);
    const unsigned char start[4] = {1, 0, (unsigned char)(length & 255), (unsigned char)(length >> 8)};
    size_t count = 1;
    for (int32_t i = 0; i < dims; i++) {
        count *= (size_t)shape[i];
    }
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        return false;
    }
    const bool written = fwrite(magic, 1, MAGIC_SIZE, file) == MAGIC_SIZE && fwrite(start, 1, 4, file) == 4 &&
                         fwrite(text, 1, length, file) == length &&
                         fwrite(data, npy_type_size(type), count, file) == count && fflush(file) == 0;
    const int reason = errno;
    const bool closed = fclose(file) == 0;
    if (!written) {
        errno = reason;
    }
    return written && closed;
}
