/* The reader and writer of .npy files that the examples share. */
#include "../examples/common/npy.h"

#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_SIZE = 4096 };

struct file {
    unsigned char bytes[FILE_SIZE];
    size_t size;
};

/* A file made by hand: version, header text and element bytes as given. */
static struct file make_file(int version, const char *header, const void *data, size_t size)
{
    struct file file = {.size = 0};
    const size_t length = strlen(header);
    const size_t start = version == 1 ? 10 : 12;
    memcpy(file.bytes, "\x93NUMPY", 6);
    file.bytes[6] = (unsigned char)version;
    file.bytes[8] = (unsigned char)(length & 255);
    file.bytes[9] = (unsigned char)(length >> 8);
    memcpy(file.bytes + start, header, length);
    memcpy(file.bytes + start + length, data, size);
    file.size = start + length + size;
    return file;
}

static struct npy_array parse_good(const struct file *file)
{
    struct npy_array array = {.data = NULL};
    char message[NPY_MESSAGE_SIZE] = "";
    ck_assert_msg(npy_parse(file->bytes, file->size, &array, message), "%s", message);
    return array;
}

static void parse_bad(const void *bytes, size_t size, const char *expected)
{
    struct npy_array array = {.data = NULL};
    char message[NPY_MESSAGE_SIZE] = "";
    ck_assert(!npy_parse(bytes, size, &array, message));
    ck_assert_msg(strstr(message, expected) != NULL, "'%s' does not say '%s'", message, expected);
    ck_assert_ptr_null(array.data);
}

/* A one-dimensional array of one type: its elements as doubles and as floats. */
static void check_values(const char *type, const void *data, size_t size, int count, const double *expected)
{
    char header[100];
    snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (%d,), }\n", type, count);
    const struct file file = make_file(1, header, data, size);
    struct npy_array array = parse_good(&file);
    ck_assert_int_eq(array.dims, 1);
    ck_assert_int_eq(array.count, count);
    double *doubles = npy_take_doubles(&array);
    ck_assert_ptr_null(array.data);
    struct npy_array again = parse_good(&file);
    float *floats = npy_take_floats(&again);
    for (int i = 0; i < count; i++) {
        ck_assert_msg(doubles[i] == expected[i], "%s: %g is not %g", type, doubles[i], expected[i]);
        ck_assert(floats[i] == (float)expected[i]);
    }
    free(doubles);
    free(floats);
}

START_TEST(every_type)
{
    check_values("|i1", "\x80\xff\x7f", 3, 3, (const double[]){-128, -1, 127});
    check_values("|u1", "\x80\xff\x00", 3, 3, (const double[]){128, 255, 0});
    check_values("<i2", "\x01\x00\xff\xff", 4, 2, (const double[]){1, -1});
    check_values(">i2", "\x00\x01\xff\xfe", 4, 2, (const double[]){1, -2});
    check_values("<u2", "\x01\x00\xff\xff", 4, 2, (const double[]){1, 65535});
    check_values("<i4", "\x00\x00\x00\x80", 4, 1, (const double[]){-2147483648.0});
    check_values(">u4", "\xff\xff\xff\xff", 4, 1, (const double[]){4294967295.0});
    check_values("<i8", "\xfe\xff\xff\xff\xff\xff\xff\xff", 8, 1, (const double[]){-2});
    check_values("<u8", "\x00\x00\x00\x00\x00\x00\x00\x80", 8, 1, (const double[]){9223372036854775808.0});
    check_values("<f4", "\x00\x00\x80\x3f\x00\x00\x20\xc0", 8, 2, (const double[]){1, -2.5});
    check_values(">f4", "\x3f\x80\x00\x00\xc0\x20\x00\x00", 8, 2, (const double[]){1, -2.5});
    check_values("<f8", "\x00\x00\x00\x00\x00\x00\xf8\x3f", 8, 1, (const double[]){1.5});
    check_values(">f8", "\x3f\xf8\x00\x00\x00\x00\x00\x00", 8, 1, (const double[]){1.5});
}
END_TEST

/* One, the largest, the smallest normal, the smallest, minus zero and both infinities. */
START_TEST(half_precision)
{
    check_values(
        "<f2", "\x00\x3c\xff\x7b\x00\x04\x01\x00\x00\x80\x00\x7c\x00\xfc", 14, 7,
        (const double[]){1, 65504, 0.00006103515625, 5.9604644775390625e-8, 0, (double)INFINITY, -(double)INFINITY});
    const struct file file = make_file(1, "{'descr': '<f2', 'fortran_order': False, 'shape': (), }", "\x01\x7e", 2);
    struct npy_array array = parse_good(&file);
    ck_assert_int_eq(array.dims, 0);
    ck_assert_int_eq(array.count, 1);
    double *value = npy_take_doubles(&array);
    ck_assert(isnan(*value));
    free(value);
}
END_TEST

START_TEST(versions_and_spellings)
{
    static const char *const headers[] = {
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }   \n",
        "{'shape': (2, 3), 'fortran_order': False, 'descr': '|u1'}",
        "{\"descr\":\"u1\",\"fortran_order\":False,\"shape\":(2L,3L)}",
        " {'descr': '=u1', 'fortran_order': False, 'shape': (2,3,)}\n",
    };
    for (int version = 1; version <= 3; version++) {
        for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
            const struct file file = make_file(version, headers[i], "\1\2\3\4\5\6", 6);
            struct npy_array array = parse_good(&file);
            ck_assert_int_eq(array.type, NPY_UINT8);
            ck_assert_int_eq(array.dims, 2);
            ck_assert_int_eq(array.shape[0], 2);
            ck_assert_int_eq(array.shape[1], 3);
            ck_assert_int_eq(memcmp(array.data, "\1\2\3\4\5\6", 6), 0);
            npy_free(&array);
            ck_assert_ptr_null(array.data);
        }
    }
}
END_TEST

START_TEST(fortran_order)
{
    /* The element at (i, j, k) is 100 i + 10 j + k; the first index runs fastest in the file, and bytes are swapped. */
    unsigned char data[2 * 3 * 4 * 2];
    int at = 0;
    for (int k = 0; k < 4; k++) {
        for (int j = 0; j < 3; j++) {
            for (int i = 0; i < 2; i++) {
                data[at++] = 0;
                data[at++] = (unsigned char)(100 * i + 10 * j + k);
            }
        }
    }
    const struct file file =
        make_file(1, "{'descr': '>u2', 'fortran_order': True, 'shape': (2, 3, 4), }", data, sizeof data);
    struct npy_array array = parse_good(&file);
    double *values = npy_take_doubles(&array);
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 3; j++) {
            for (int k = 0; k < 4; k++) {
                ck_assert(values[(i * 3 + j) * 4 + k] == 100 * i + 10 * j + k);
            }
        }
    }
    free(values);
}
END_TEST

START_TEST(empty_arrays)
{
    const struct file file =
        make_file(1, "{'descr': '<f8', 'fortran_order': True, 'shape': (9223372036854775807, 0, 5), }", "", 0);
    struct npy_array array = parse_good(&file);
    ck_assert_int_eq(array.count, 0);
    float *values = npy_take_floats(&array);
    ck_assert_ptr_nonnull(values);
    free(values);
}
END_TEST

START_TEST(every_truncation_and_more)
{
    struct file file =
        make_file(2, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n", "0123456789abcdef", 16);
    const size_t elements = file.size - 16;
    for (size_t size = 0; size < file.size; size++) {
        const char *expected = size < elements ? "ends inside its header" : "too short";
        parse_bad(file.bytes, size, size == 0 ? "empty" : size < 6 ? "not a .npy" : expected);
    }
    file.size++;
    parse_bad(file.bytes, file.size, "too long");
}
END_TEST

START_TEST(bad_headers)
{
    static const struct {
        const char *header;
        const char *message;
    } table[] = {
        {"", "damaged"},
        {"{", "damaged"},
        {"{}", "damaged"},
        {"{'descr': '<f4', 'fortran_order': False}", "damaged"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)", "damaged"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", "damaged"},
        {"{'descr': '<f4' 'fortran_order': False, 'shape': (1,)}", "damaged"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", "twice"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}", "unknown"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", "fortran_order"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': 1}", "no shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1 1)}", "tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", "tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", "more than 8"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "too large"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2305843009213693952,)}", "too large"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}", "too short"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", "'<c8'"},
        {"{'descr': '|b2', 'fortran_order': False, 'shape': (1,)}", "'|b2'"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "'|O'"},
        {"{'descr': '', 'fortran_order': False, 'shape': (1,)}", "''"},
        {"{'descr': '<f44', 'fortran_order': False, 'shape': (1,)}", "'<f44'"},
        {"{'descr': '<f1', 'fortran_order': False, 'shape': (1,)}", "'<f1'"},
        {"{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,)}", "plain number"},
        {"{'descr': '<f4", "plain number"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct file file = make_file(1, table[i].header, "0123", 4);
        parse_bad(file.bytes, file.size, table[i].message);
    }
}
END_TEST

START_TEST(foreign_files)
{
    struct file file = make_file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", "0123", 4);
    file.bytes[6] = 4;
    parse_bad(file.bytes, file.size, "version 4.0");
    file.bytes[6] = 1;
    file.bytes[7] = 1;
    parse_bad(file.bytes, file.size, "version 1.1");
    parse_bad("PK\3\4 a zip file", 15, "not a .npy");
    /* A header of 4 GiB must not be waited for. */
    parse_bad("\x93NUMPY\2\0\xff\xff\xff\xff{}", 14, "4294967295 bytes long");
}
END_TEST

/* Whatever one byte is changed to, the parser says yes or no; sanitizers watch. */
START_TEST(changed_bytes)
{
    const struct file good =
        make_file(1, "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }\n", "0123456789ab", 12);
    for (size_t i = 0; i < good.size; i++) {
        for (int value = 0; value < 256; value++) {
            struct file file = good;
            struct npy_array array = {.data = NULL};
            char message[NPY_MESSAGE_SIZE] = "";
            file.bytes[i] = (unsigned char)value;
            if (npy_parse(file.bytes, file.size, &array, message)) {
                ck_assert_int_eq(array.count * (int64_t)npy_type_size(array.type), 12);
                npy_free(&array);
            } else {
                ck_assert_str_ne(message, "");
            }
        }
    }
}
END_TEST

static void temporary_name(char name[32])
{
    strcpy(name, "/tmp/check_npy.XXXXXX");
    const int file = mkstemp(name);
    ck_assert_int_ge(file, 0);
    close(file);
}

/* What is written is byte for byte what NumPy writes. */
START_TEST(written_bytes)
{
    static const char expected[] = "\x93NUMPY\1\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }";
    const float values[2] = {1, -2.5f};
    unsigned char bytes[200];
    char name[32];
    temporary_name(name);
    ck_assert(npy_save(name, NPY_FLOAT32, 2, (const int64_t[]){2, 1}, values));
    FILE *file = fopen(name, "rb");
    ck_assert_uint_eq(fread(bytes, 1, sizeof bytes, file), 136);
    fclose(file);
    ck_assert_int_eq(memcmp(bytes, expected, sizeof expected - 1), 0);
    for (size_t i = sizeof expected - 1; i < 127; i++) {
        ck_assert_int_eq(bytes[i], ' ');
    }
    ck_assert_int_eq(bytes[127], '\n');
    ck_assert_int_eq(memcmp(bytes + 128, "\x00\x00\x80\x3f\x00\x00\x20\xc0", 8), 0);
    unlink(name);
}
END_TEST

START_TEST(round_trip)
{
    static const int64_t shape[NPY_MAX_DIMS] = {2, 1, 3, 1, 1, 2, 1, 1};
    static unsigned char data[12 * 8];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (unsigned char)(7 * i);
    }
    char name[32];
    temporary_name(name);
    for (int type = 0; type <= NPY_BOOL; type++) {
        for (int32_t dims = 0; dims <= NPY_MAX_DIMS; dims++) {
            struct npy_array array = {.data = NULL};
            char message[NPY_MESSAGE_SIZE] = "";
            ck_assert(npy_save(name, (enum npy_type)type, dims, shape, data));
            ck_assert_msg(npy_load(name, &array, message), "%s", message);
            ck_assert_int_eq(array.type, (enum npy_type)type);
            ck_assert_int_eq(array.dims, dims);
            ck_assert_int_eq(memcmp(array.shape, shape, (size_t)dims * sizeof *shape), 0);
            ck_assert_int_eq(memcmp(array.data, data, (size_t)array.count * npy_type_size(array.type)), 0);
            npy_free(&array);
        }
    }
    unlink(name);
}
END_TEST

/* Larger than what is read at first. */
START_TEST(large_file)
{
    enum { COUNT = 100000 };
    static float values[COUNT];
    for (int i = 0; i < COUNT; i++) {
        values[i] = (float)i;
    }
    char name[32];
    temporary_name(name);
    struct npy_array array = {.data = NULL};
    char message[NPY_MESSAGE_SIZE] = "";
    ck_assert(npy_save(name, NPY_FLOAT32, 1, (const int64_t[]){COUNT}, values));
    ck_assert_msg(npy_load(name, &array, message), "%s", message);
    ck_assert_int_eq(memcmp(array.data, values, sizeof values), 0);
    npy_free(&array);
    unlink(name);
}
END_TEST

START_TEST(files_that_cannot_be_read)
{
    struct npy_array array = {.data = NULL};
    char message[NPY_MESSAGE_SIZE] = "";
    ck_assert(!npy_load("/tmp/check_npy/is/not/there.npy", &array, message));
    ck_assert_str_eq(message, strerror(ENOENT));
    ck_assert(!npy_load("/tmp", &array, message));
    ck_assert_str_eq(message, strerror(EISDIR));
    ck_assert(!npy_load("/dev/null", &array, message));
    ck_assert_ptr_nonnull(strstr(message, "empty"));
    ck_assert(!npy_load("/dev/zero", &array, message));
    ck_assert_ptr_nonnull(strstr(message, "not a .npy"));
    ck_assert(!npy_save("/tmp/check_npy/is/not/there.npy", NPY_INT8, 0, NULL, "x"));
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(full_disk)
{
    static const unsigned char data[1 << 16];
    if (access("/dev/full", W_OK) == 0) {
        ck_assert(!npy_save("/dev/full", NPY_UINT8, 1, (const int64_t[]){sizeof data}, data));
        ck_assert_int_eq(errno, ENOSPC);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("npy");
    TCase *tcase = tcase_create("npy");
    tcase_add_test(tcase, every_type);
    tcase_add_test(tcase, half_precision);
    tcase_add_test(tcase, versions_and_spellings);
    tcase_add_test(tcase, fortran_order);
    tcase_add_test(tcase, empty_arrays);
    tcase_add_test(tcase, every_truncation_and_more);
    tcase_add_test(tcase, bad_headers);
    tcase_add_test(tcase, foreign_files);
    tcase_add_test(tcase, changed_bytes);
    tcase_add_test(tcase, written_bytes);
    tcase_add_test(tcase, round_trip);
    tcase_add_test(tcase, large_file);
    tcase_add_test(tcase, files_that_cannot_be_read);
    tcase_add_test(tcase, full_disk);
    suite_add_tcase(suite, tcase);
    return suite;
}
