/* Status codes, their texts, the caller's error struct, version and names. */
#include "base/status.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const bsq_status_t statuses[] = {
    BSQ_OK,        BSQ_E_ARGUMENT, BSQ_E_RANGE,   BSQ_E_SHAPE,    BSQ_E_SIZE,      BSQ_E_STATE,   BSQ_E_MEMORY,
    BSQ_E_NUMERIC, BSQ_E_FORMAT,   BSQ_E_CORRUPT, BSQ_E_MISMATCH, BSQ_E_CANCELLED, BSQ_E_VERSION,
};

enum { STATUSES = sizeof statuses / sizeof *statuses };

/* Names of known values differ from each other and from the name of an unknown one. */
static void check_names(const char *(*name)(int32_t), const int32_t *values, size_t count, int32_t unknown)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = name(values[i]);

        ck_assert_ptr_nonnull(text);
        ck_assert_str_ne(text, "");
        ck_assert_str_ne(text, name(unknown));
        for (size_t j = 0; j < i; j++)
            ck_assert_str_ne(text, name(values[j]));
    }
    ck_assert_ptr_nonnull(name(INT32_MIN));
    ck_assert_ptr_nonnull(name(INT32_MAX));
    ck_assert_str_eq(name(INT32_MAX), name(unknown));
}

START_TEST(names)
{
    const int32_t stages[] = {BSQ_STAGE_STATISTICS, BSQ_STAGE_ROUND,   BSQ_STAGE_PREPARE, BSQ_STAGE_BEAM,
                              BSQ_STAGE_BITSPLIT,   BSQ_STAGE_DESCENT, BSQ_STAGE_EXACT,   BSQ_STAGE_SCALE,
                              BSQ_STAGE_BIAS,       BSQ_STAGE_NORM};
    const int32_t outcomes[] = {BSQ_OUTCOME_NONE, BSQ_OUTCOME_CONVERGED, BSQ_OUTCOME_LIMIT, BSQ_OUTCOME_PROVEN};
    const int32_t kernels[] = {BSQ_KERNEL_PORTABLE, BSQ_KERNEL_AVX2, BSQ_KERNEL_AVX512, BSQ_KERNEL_NEON};

    check_names(bsq_status_string, statuses, STATUSES, 1);
    check_names(bsq_stage_string, stages, sizeof stages / sizeof *stages, 0);
    check_names(bsq_outcome_string, outcomes, sizeof outcomes / sizeof *outcomes, 99);
    check_names(bsq_kernel_string, kernels, sizeof kernels / sizeof *kernels, 0);
}
END_TEST

START_TEST(version)
{
    char text[64];

    ck_assert_int_eq(bsq_version(), BSQ_VERSION);
    ck_assert_int_eq(BSQ_VERSION, BSQ_VERSION_MAJOR * 10000 + BSQ_VERSION_MINOR * 100 + BSQ_VERSION_PATCH);
    ck_assert_str_eq(bsq_version_string(), BSQ_VERSION_STRING);
    (void)snprintf(text, sizeof text, "%d.%d.%d", BSQ_VERSION_MAJOR, BSQ_VERSION_MINOR, BSQ_VERSION_PATCH);
    ck_assert_str_eq(bsq_version_string(), text);
}
END_TEST

START_TEST(fail_formats_and_returns)
{
    struct bsq_message message;
    char longer[600];

    ck_assert_int_eq(bsq_fail(&message, BSQ_E_SHAPE, "%s is %d", "kernel", 7), BSQ_E_SHAPE);
    ck_assert_str_eq(message.text, "kernel is 7");
    ck_assert_int_eq(bsq_fail_memory(&message), BSQ_E_MEMORY);
    ck_assert_str_ne(message.text, "");

    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    ck_assert_int_eq(bsq_fail(&message, BSQ_E_RANGE, "%s", longer), BSQ_E_RANGE);
    ck_assert_uint_eq(strlen(message.text), sizeof message.text - 1);
}
END_TEST

/* The text is cut to every capacity, ends in 0, and nothing behind the capacity is touched. */
START_TEST(store_cuts_text)
{
    struct bsq_message message;
    char buffer[64];

    (void)bsq_fail(&message, BSQ_E_STATE, "twelve chars");
    for (size_t capacity = 0; capacity <= 40; capacity++) {
        size_t length = capacity > 12 ? 12 : capacity > 0 ? capacity - 1 : 0;
        bsq_error_t error;

        memset(buffer, '#', sizeof buffer);
        bsq_error_init(&error, sizeof error);
        error.message = buffer;
        error.capacity = capacity;
        ck_assert_int_eq(bsq_error_store(&error, BSQ_E_STATE, &message), BSQ_E_STATE);
        ck_assert_int_eq(error.status, BSQ_E_STATE);
        ck_assert(!memcmp(buffer, "twelve chars", length));
        if (capacity > 0)
            ck_assert_int_eq(buffer[length], '\0');
        for (size_t i = capacity > 0 ? length + 1 : 0; i < sizeof buffer; i++)
            ck_assert_int_eq(buffer[i], '#');
    }
}
END_TEST

START_TEST(store_without_buffer)
{
    struct bsq_message message;
    bsq_error_t error;

    (void)bsq_fail(&message, BSQ_E_SIZE, "text");
    ck_assert_int_eq(bsq_error_store(NULL, BSQ_E_SIZE, &message), BSQ_E_SIZE);
    bsq_error_init(&error, sizeof error);
    error.capacity = 100;
    ck_assert_int_eq(bsq_error_store(&error, BSQ_E_SIZE, &message), BSQ_E_SIZE);
    ck_assert_int_eq(error.status, BSQ_E_SIZE);
}
END_TEST

/* After a success there is no text of an earlier failure. */
START_TEST(store_success)
{
    struct bsq_message message;
    char buffer[16] = "old";
    bsq_error_t error;

    (void)bsq_fail(&message, BSQ_E_SIZE, "text");
    bsq_error_init(&error, sizeof error);
    error.message = buffer;
    error.capacity = sizeof buffer;
    error.status = BSQ_E_SIZE;
    ck_assert_int_eq(bsq_error_store(&error, BSQ_OK, &message), BSQ_OK);
    ck_assert_int_eq(error.status, BSQ_OK);
    ck_assert_str_eq(buffer, "");
}
END_TEST

/* An error struct that is too short is left alone, one that is longer is filled as far as it is known. */
START_TEST(store_sizes)
{
    struct bsq_message message;
    struct {
        bsq_error_t known;
        int64_t unknown;
    } longer = {.unknown = 5};
    char buffer[16] = "old";

    (void)bsq_fail(&message, BSQ_E_SIZE, "text");
    for (size_t size = 0; size < sizeof(bsq_error_t); size++) {
        bsq_error_t error = {.struct_size = size, .message = buffer, .capacity = sizeof buffer, .status = 3};

        ck_assert_int_eq(bsq_error_store(&error, BSQ_E_SIZE, &message), BSQ_E_SIZE);
        ck_assert_int_eq(error.status, 3);
        ck_assert_str_eq(buffer, "old");
    }
    bsq_error_init(&longer.known, sizeof longer);
    longer.unknown = 5;
    longer.known.message = buffer;
    longer.known.capacity = sizeof buffer;
    ck_assert_int_eq(bsq_error_store(&longer.known, BSQ_E_SIZE, &message), BSQ_E_SIZE);
    ck_assert_int_eq(longer.known.status, BSQ_E_SIZE);
    ck_assert_str_eq(buffer, "text");
    ck_assert_int_eq(longer.unknown, 5);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("status");
    TCase *all = tcase_create("all");

    tcase_add_test(all, names);
    tcase_add_test(all, version);
    tcase_add_test(all, fail_formats_and_returns);
    tcase_add_test(all, store_cuts_text);
    tcase_add_test(all, store_without_buffer);
    tcase_add_test(all, store_success);
    tcase_add_test(all, store_sizes);
    suite_add_tcase(suite, all);
    return suite;
}
