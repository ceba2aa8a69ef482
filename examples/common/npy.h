/* NumPy's .npy files: arrays of plain numbers, format versions 1.0, 2.0 and 3.0.
 *
 * Reading believes nothing: the header is checked before memory is taken by what it says, and a file that is too short
 * or too long for its shape is refused. Big-endian and Fortran-ordered files arrive as arrays in C order that this
 * machine can read. */
#ifndef BSQ_EXAMPLES_NPY_H
#define BSQ_EXAMPLES_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NPY_MAX_DIMS = 8, NPY_MESSAGE_SIZE = 200 };

enum npy_type {
    NPY_INT8,
    NPY_INT16,
    NPY_INT32,
    NPY_INT64,
    NPY_UINT8,
    NPY_UINT16,
    NPY_UINT32,
    NPY_UINT64,
    NPY_FLOAT16,
    NPY_FLOAT32,
    NPY_FLOAT64,
    NPY_BOOL /* bytes of 0 and 1 */
};

struct npy_array {
    enum npy_type type;
    int32_t dims;
    int64_t shape[NPY_MAX_DIMS];
    int64_t count; /* product of the shape */
    void *data;    /* count elements in C order, aligned for every type; malloc'ed */
};

/* Reads an array from the bytes of a file. False, with a line of text in 'message', when they are not such a file. */
bool npy_parse(const void *bytes, size_t size, struct npy_array *array, char message[NPY_MESSAGE_SIZE]);

/* Reads a file. 'message' does not name the file. */
bool npy_load(const char *path, struct npy_array *array, char message[NPY_MESSAGE_SIZE]);

/* The array's elements as another type, malloc'ed, taken out of the array: its shape stays, its data is gone. NULL when
 * there is not enough memory. */
float *npy_take_floats(struct npy_array *array);
double *npy_take_doubles(struct npy_array *array);

/* Frees the data and empties the array; an empty one is allowed. */
void npy_free(struct npy_array *array);

/* Writes a file of version 1.0. The file is complete when this returns true; else errno says why. */
bool npy_save(const char *path, enum npy_type type, int32_t dims, const int64_t *shape, const void *data);

size_t npy_type_size(enum npy_type type);

/* "float32" and so on. */
const char *npy_type_name(enum npy_type type);

#endif
