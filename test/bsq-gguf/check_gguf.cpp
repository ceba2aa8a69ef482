// GGUF files: read as they were written, and refused when anything about them is wrong.
#include <cstring>

#include "shared.hpp"
#include "support.hpp"

extern "C" {
#include "support.h"
}

using namespace bsq_gguf;

namespace {

template <typename T> std::string raw(const T &value)
{
    return std::string(reinterpret_cast<const char *>(&value), sizeof value);
}

std::string text(const std::string &value)
{
    return raw(static_cast<uint64_t>(value.size())) + value;
}

// A header of its own making.
std::string head(uint32_t version, uint64_t tensors, uint64_t entries)
{
    return "GGUF" + raw(version) + raw(tensors) + raw(entries);
}

std::string description(const std::string &name, const std::vector<uint64_t> &extents, uint32_t type, uint64_t offset)
{
    std::string bytes = text(name) + raw(static_cast<uint32_t>(extents.size()));
    for (const uint64_t extent : extents)
        bytes += raw(extent);
    return bytes + raw(type) + raw(offset);
}

void refuse(const std::string &bytes, const std::string &what)
{
    test::expect_error("some.gguf: " + what,
                       [&] { Gguf(reinterpret_cast<const unsigned char *>(bytes.data()), bytes.size(), "some.gguf"); });
}

// Padded to data, 64 bytes of it.
std::string with_data(std::string bytes)
{
    bytes.resize((bytes.size() + 31) / 32 * 32 + 64);
    return bytes;
}

} // namespace

START_TEST(what_was_written_is_read)
{
    Metadata metadata;
    metadata.set("general.architecture", std::string("llama"));
    metadata.set("a.number", uint32_t{7});
    metadata.set("a.float", 0.5f);
    metadata.set("a.flag", ValueType::boolean, std::string("\1", 1));
    metadata.set("a.negative", ValueType::int16, raw(int16_t{-3}));
    metadata.set("a.list", ValueType::array, raw(uint32_t{1}) + raw(uint64_t{3}) + std::string("\1\2\xff", 3));
    test::set_texts(metadata, "a.texts", {"one", "", "three"});
    metadata.set("a.number", uint32_t{8}); // replaces
    metadata.set("general.alignment", uint32_t{64});
    ck_assert_uint_eq(metadata.size(), 8);
    const std::string path = test::file("written.gguf");
    const Type *f32 = type_of_name("f32"), *f16 = type_of_name("F16");
    {
        Writer writer(path, metadata, {{"x", {3, 2}, f32}, {"y", {5}, f16}}, 64);
        const float x[6] = {1, 2, 3, 4, 5, 6};
        const uint16_t y[5] = {1, 2, 3, 4, 5};
        writer.write(1, y, sizeof y);
        writer.write(0, x, sizeof x);
        writer.publish();
    }
    const MappedFile mapped(path);
    ck_assert_uint_eq(mapped.size() % 64, 0);
    const Gguf file(mapped.data(), mapped.size(), path);
    ck_assert_uint_eq(file.version(), 3);
    ck_assert_uint_eq(file.entries().size(), 8);
    ck_assert(file.text("general.architecture", "") == "llama");
    ck_assert(file.text("none", "otherwise") == "otherwise");
    ck_assert_int_eq(file.integer("a.number", 0), 8);
    ck_assert_int_eq(file.integer("a.negative", 0), -3);
    ck_assert_int_eq(file.integer("none", -5), -5);
    ck_assert(file.number("a.float", 0) == 0.5);
    ck_assert(file.boolean("a.flag", false));
    ck_assert((file.integers("a.list") == std::vector<int64_t>{1, 2, -1}));
    ck_assert((file.numbers("a.list") == std::vector<double>{1, 2, -1}));
    ck_assert((file.texts("a.texts") == std::vector<std::string>{"one", "", "three"}));
    ck_assert(file.texts("none").empty());
    test::expect_error("a.number is not a text", [&] { file.text("a.number", ""); });
    test::expect_error("a.float is not a whole number", [&] { file.integer("a.float", 0); });
    test::expect_error("a.texts is not a number", [&] { file.number("a.texts", 0); });
    test::expect_error("a.number is not an array", [&] { file.numbers("a.number"); });
    test::expect_error("a.list is not an array of texts", [&] { file.texts("a.list"); });
    test::expect_error("a.texts is not an array of whole numbers", [&] { file.integers("a.texts"); });
    test::expect_error("a.texts is not an array of numbers", [&] { file.numbers("a.texts"); });
    test::expect_error("a.number is neither true nor false", [&] { file.boolean("a.number", false); });
    const Tensor *x = file.find("x"), *y = file.find("y");
    ck_assert_ptr_null(file.find("z"));
    ck_assert_int_eq(x->columns(), 3);
    ck_assert_int_eq(x->rows(), 2);
    ck_assert_int_eq(y->rows(), 1);
    ck_assert_uint_eq(x->size, 24);
    float last;
    std::memcpy(&last, x->data + 20, 4);
    ck_assert(last == 6);
    ck_assert_int_eq(y->data[8], 5);
}
END_TEST

START_TEST(headers_that_are_wrong)
{
    refuse("", "is truncated: it ends in the header");
    refuse("GGUX", "is not a GGUF file");
    refuse("GGUF\1", "is truncated: it ends in the header");
    refuse(head(1, 0, 0), "has version 1 of GGUF; 2 and 3 are read");
    refuse(head(4, 0, 0), "has version 4 of GGUF");
    refuse(head(0x03000000, 0, 0), "is a GGUF file of big-endian numbers");
    refuse(head(3, 1u << 30, 0), "says that it has 0 entries of metadata and 1073741824 tensors");
    refuse(head(3, 0, ~uint64_t{0}), "says that it has 18446744073709551615 entries");
    refuse(head(3, 0, 1), "is truncated: it ends in entry 0 of the metadata");
    refuse(head(3, 1, 0), "is truncated: it ends in the description of tensor 0");
}
END_TEST

START_TEST(metadata_that_is_wrong)
{
    const std::string one = head(3, 0, 1);
    refuse(one + text(""), "entry 0 of the metadata has a name of 0 bytes");
    refuse(one + text("k") + raw(uint32_t{13}), "entry 0 of the metadata, k, has type 13, which is not known");
    refuse(one + text("k") + raw(uint32_t{4}) + "abc", "is truncated: it ends in entry 0 of the metadata, k");
    refuse(one + text("k") + raw(uint32_t{8}) + raw(~uint64_t{0}), "is truncated");
    refuse(one + raw(~uint64_t{0}), "is truncated");
    refuse(one + text("k") + raw(uint32_t{9}) + raw(uint32_t{9}) + raw(uint64_t{1}),
           "entry 0 of the metadata, k, is an array of type 9");
    refuse(one + text("k") + raw(uint32_t{9}) + raw(uint32_t{4}) + raw(uint64_t{1} << 62), "is truncated");
    refuse(one + text("k") + raw(uint32_t{9}) + raw(uint32_t{8}) + raw(uint64_t{1} << 40) + text("a"), "is truncated");
    const std::string entry = text("k") + raw(uint32_t{4}) + raw(uint32_t{1});
    refuse(head(3, 0, 2) + entry + entry, "entry 1 of the metadata, k, is there twice");
    for (const uint32_t alignment : {0u, 1u, 2u, 24u, 1u << 30})
        refuse(one + text("general.alignment") + raw(uint32_t{4}) + raw(alignment), "general.alignment is");
    refuse(one + text("general.alignment") + raw(uint32_t{6}) + raw(32.0f), "general.alignment is not a whole number");
}
END_TEST

START_TEST(tensors_that_are_wrong)
{
    const std::string one = head(3, 1, 0);
    refuse(with_data(one + description("", {4}, 0, 0)), "the description of tensor 0 has a name of 0 bytes");
    refuse(with_data(one + description("x", {1, 1, 1, 1, 1}, 0, 0)), "the description of tensor x has 5 extents");
    refuse(with_data(one + description("x", {4, 0}, 0, 0)), "the description of tensor x has extents that are 0");
    refuse(with_data(one + description("x", {1u << 31, 1u << 31, 4}, 0, 0)), "the description of tensor x has extents");
    refuse(with_data(one + description("x", {~uint64_t{0}}, 0, 0)), "the description of tensor x has extents");
    refuse(with_data(one + description("x", {4}, 99, 0)), "tensor x has type 99, which is not known; known are F32");
    refuse(with_data(one + description("x", {16}, 2, 0)), "tensor x has rows of 16, which Q4_0 cannot hold");
    refuse(with_data(one + description("x", {4}, 0, 4)), "the data of tensor x does not begin at a multiple of 32");
    refuse(with_data(one + description("x", {17}, 0, 0)), "is truncated: the data of tensor x goes beyond its end");
    refuse(with_data(one + description("x", {4}, 0, uint64_t{1} << 63)), "is truncated: the data of tensor x");
    refuse(with_data(head(3, 2, 0) + description("x", {4}, 0, 0) + description("x", {4}, 0, 32)),
           "tensor x is there twice");
    const std::string good = with_data(one + description("x", {16}, 0, 0));
    Gguf(reinterpret_cast<const unsigned char *>(good.data()), good.size(), "good");
}
END_TEST

// Cut anywhere, a file is refused in one line, or read without what is missing.
START_TEST(files_that_end_early)
{
    const std::string bytes = test::read_bytes(test::make_model({}, "cut.gguf"));
    for (size_t size = 0; size < bytes.size(); size += size < 4096 ? 7 : 4099) {
        const std::string part = bytes.substr(0, size);
        test::expect_error("cut: ", [&] { Gguf(reinterpret_cast<const unsigned char *>(part.data()), size, "cut"); });
    }
}
END_TEST

START_TEST(versions)
{
    std::string bytes = test::read_bytes(test::make_model({}, "version.gguf"));
    bytes[4] = 2;
    const Gguf file(reinterpret_cast<const unsigned char *>(bytes.data()), bytes.size(), "two");
    ck_assert_uint_eq(file.version(), 2);
}
END_TEST

START_TEST(floats_of_two_bytes)
{
    // Every value of float16 and bfloat16 keeps its bits.
    for (const char *name : {"F16", "BF16"}) {
        const Type &type = *type_of_name(name);
        std::vector<unsigned char> bytes(2 * 65536);
        for (size_t i = 0; i < 65536; i++)
            bytes[2 * i] = static_cast<unsigned char>(i & 255), bytes[2 * i + 1] = static_cast<unsigned char>(i >> 8);
        std::vector<float> values(65536);
        dequantize(Matrix(type, 1, 65536, bytes), 0, 1, values.data());
        const std::vector<unsigned char> back = to_floats(type, values.data(), values.size());
        for (size_t i = 0; i < 65536; i++)
            if (values[i] == values[i]) // not NaN
                ck_assert_msg(back[2 * i] == bytes[2 * i] && back[2 * i + 1] == bytes[2 * i + 1], "%s %zx", name, i);
    }
    const float halfway[] = {1 + 0x1p-11f, 1 + 3 * 0x1p-11f, 65519.9f, 65520.0f, 0x1p-25f, 0x1.8p-25f, -0.0f};
    const uint16_t expected[] = {0x3c00, 0x3c02, 0x7bff, 0x7c00, 0, 1, 0x8000};
    const std::vector<unsigned char> bytes = to_floats(*type_of_name("F16"), halfway, 7);
    ck_assert_int_eq(std::memcmp(bytes.data(), expected, sizeof expected), 0);
}
END_TEST

START_TEST(a_file_that_was_not_finished)
{
    const std::string path = test::file("unfinished.gguf");
    test::write_bytes(path, "old");
    {
        Writer writer(path, Metadata(), {{"x", {4}, type_of_name("F32")}}, 32);
        ck_assert(test::read_bytes(path) == "old");
    }
    ck_assert(test::read_bytes(path) == "old");
    test::expect_error("cannot be written", [] { Writer("/none/x.gguf", Metadata(), {}, 32); });
}
END_TEST

Suite *test_suite(void)
{
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, what_was_written_is_read);
    tcase_add_test(tests, headers_that_are_wrong);
    tcase_add_test(tests, metadata_that_is_wrong);
    tcase_add_test(tests, tensors_that_are_wrong);
    tcase_add_test(tests, files_that_end_early);
    tcase_add_test(tests, versions);
    tcase_add_test(tests, floats_of_two_bytes);
    tcase_add_test(tests, a_file_that_was_not_finished);
    return test_suite_of("bsq-gguf: files", tests);
}
