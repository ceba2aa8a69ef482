// Small models quantized: what comes out, that it does not depend on threads, memory and interruptions, what is refused.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include <cblas.h>

#include "judge/evaluate.hpp"
#include "model/forward.hpp"
#include "quantize/allocate.hpp"
#include "quantize/quantize.hpp"
#include "quantize/solve.hpp"
#include "shared.hpp"
#include "support.hpp"

extern "C" {
#include "support.h"
}

using namespace bsq_gguf;

namespace {

Settings settings_for(const char *type)
{
    Settings settings;
    settings.types = {type_of_name(type)};
    settings.effort = 1;
    settings.threads = 1;
    settings.memory = int64_t{1} << 30;
    return settings;
}

Samples samples_of(const test::Open &open, int64_t sequences = 6)
{
    Samples samples;
    samples.context = 40;
    uint32_t state = 5;
    for (int64_t i = 0; i < sequences * samples.context; i++) {
        state = state * 1664525 + 1013904223;
        samples.tokens.push_back(
            static_cast<int32_t>((state >> 8) % static_cast<uint32_t>(open.model.shape().vocabulary)));
    }
    samples.next.assign(samples.tokens.begin() + 1, samples.tokens.end());
    samples.next.push_back(-1);
    return samples;
}

struct Made {
    std::vector<TensorResult> results;
    std::vector<std::string> tensors; // bytes, in the order of the file
    const TensorResult &of(const std::string &name) const
    {
        const auto found = std::find_if(results.begin(), results.end(),
                                        [&](const TensorResult &result) { return result.name == name; });
        ck_assert(found != results.end());
        return *found;
    }
};

Made make(const test::Open &open, const Settings &settings, const Samples &samples, const Kept *kept = nullptr,
          size_t stop_after = 0)
{
    Made made;
    made.tensors.resize(open.gguf.tensors().size());
    size_t count = 0;
    const Sink sink = [&](size_t index, const void *bytes, size_t size) {
        made.tensors[index].assign(static_cast<const char *>(bytes), size);
        if (++count == stop_after)
            throw Interrupted();
    };
    Progress progress(Progress::Style::none);
    Seconds seconds;
    Plan plan = make_plan(open.model, settings);
    if (settings.average_bits > 0)
        choose_types(open.model, settings, samples, plan, kept, progress);
    made.results = quantize(open.model, settings, plan, samples, sink, kept, progress, seconds);
    for (size_t i = 0; i < made.tensors.size(); i++) {
        const Tensor &tensor = open.gguf.tensors()[i];
        const Type &type = *plan.types[i];
        ck_assert_uint_eq(made.tensors[i].size(),
                          static_cast<size_t>(tensor.rows() * (tensor.columns() / type.block) * type.bytes));
    }
    return made;
}

std::string folder(const std::string &name)
{
    const std::string path = test::file(name);
    ck_assert_int_eq(std::system(("rm -rf '" + path + "'").c_str()), 0);
    return path;
}

} // namespace

START_TEST(every_matrix_of_blocks)
{
    const std::string path = test::make_model({}, "quantize.gguf");
    const test::Open open(path);
    const Samples samples = samples_of(open);
    const Made made = make(open, settings_for("Q4_0"), samples);
    ck_assert_uint_eq(made.results.size(), 2 * 7 + 2);
    for (const TensorResult &result : made.results) {
        const bool linear = result.name.compare(0, 4, "blk.") == 0;
        ck_assert_int_eq(result.solved, linear);
        ck_assert_str_eq(result.type->name, linear ? "Q4_0" : "F32");
        if (linear)
            ck_assert_msg(result.error > 0 && result.error < result.error_rounding, "%s: %g, rounding %g",
                          result.name.c_str(), result.error, result.error_rounding);
    }
    // What is no matrix is as it was.
    const Tensor *norm = open.gguf.find("output_norm.weight");
    const auto index = static_cast<size_t>(norm - open.gguf.tensors().data());
    ck_assert(made.tensors[index] == std::string(reinterpret_cast<const char *>(norm->data), norm->size));
}
END_TEST

// A layer's error is what its outputs are away from the float model's, with the inputs of the quantized part.
START_TEST(errors_are_those_of_outputs)
{
    test::ModelSpec spec;
    spec.blocks = 1;
    const std::string path = test::make_model(spec, "errors.gguf");
    const test::Open open(path);
    const Samples samples = samples_of(open);
    Settings settings = settings_for("Q4_0");
    settings.mu = 0;
    const Made made = make(open, settings, samples);
    const BlockWeights block = open.model.block(0);
    const Run run{open.model.shape(), samples.sequences(), samples.context, 1};
    Values residual(static_cast<size_t>(run.rows() * 64)), input;
    embed(run, open.model.embedding(), samples.tokens.data(), residual.data());
    stage_input(run, block, 0, residual.data(), input);
    const std::string &bytes =
        made.tensors[static_cast<size_t>(open.gguf.find("blk.0.attn_v.weight") - open.gguf.tensors().data())];
    const Matrix quantized(*type_of_name("Q4_0"), 32, 64, {bytes.begin(), bytes.end()});
    Values before(static_cast<size_t>(run.rows() * 32)), after(before.size());
    multiply(run, block.linear[attn_v], {}, input.data(), before.data());
    multiply(run, quantized, {}, input.data(), after.data());
    double difference = 0, all = 0;
    for (size_t i = 0; i < before.size(); i++) {
        const double d = static_cast<double>(before[i]) - static_cast<double>(after[i]);
        difference += d * d;
        all += static_cast<double>(before[i]) * static_cast<double>(before[i]);
    }
    const double error = made.of("blk.0.attn_v.weight").error;
    ck_assert_msg(std::fabs(error - difference / all) < 1e-4 * error, "%g, not %g", error, difference / all);
}
END_TEST

START_TEST(the_same_for_any_threads_and_memory)
{
    test::ModelSpec spec;
    spec.biases = true;
    const std::string path = test::make_model(spec, "threads.gguf");
    const test::Open open(path);
    const Samples samples = samples_of(open);
    Settings settings = settings_for("Q5_0");
    settings.output_type = settings.embedding_type = type_of_name("Q8_0");
    const Made one = make(open, settings, samples);
    settings.threads = 3;
    ck_assert(make(open, settings, samples).tensors == one.tensors);
    settings.memory = 1; // everything goes to a file
    ck_assert(make(open, settings, samples).tensors == one.tensors);
    ck_assert(one.of("token_embd.weight").by_weights);
    ck_assert(!one.of("output.weight").by_weights);
    // What is lost before it is not made good, its own part is small.
    ck_assert(one.of("output.weight").error - one.of("output.weight").error_floor < 1e-4);
}
END_TEST

START_TEST(types_by_name)
{
    test::ModelSpec spec;
    spec.tied = true;
    const std::string path = test::make_model(spec, "types.gguf");
    const test::Open open(path);
    Settings settings = settings_for("Q4_0");
    settings.type_for = {{"blk.*.ffn_*", type_of_name("Q8_0")}, {"blk.1.ffn_down.weight", type_of_name("F16")}};
    const Made made = make(open, settings, samples_of(open));
    ck_assert_str_eq(made.of("blk.0.attn_q.weight").type->name, "Q4_0");
    ck_assert_str_eq(made.of("blk.0.ffn_down.weight").type->name, "Q8_0");
    ck_assert_str_eq(made.of("blk.1.ffn_down.weight").type->name, "F16");
    ck_assert(!made.of("blk.1.ffn_down.weight").solved);
    ck_assert(fits("*", "") && fits("a*c", "abbc") && fits("*a*", "bab") && !fits("a*", "ba") && !fits("", "a"));

    settings.type_for = {{"blk.7.*", type_of_name("Q8_0")}};
    test::expect_error("no matrix is named as --type-for 'blk.7.*' says", [&] { make_plan(open.model, settings); });
    settings.type_for = {};
    settings.output_type = type_of_name("Q8_0");
    test::expect_error("has no output of its own", [&] { make_plan(open.model, settings); });
    settings = settings_for("Q4_K");
    test::expect_error("tensor blk.0.attn_q.weight has rows of 64; Q4_K needs multiples of 256: give another with "
                       "--type-for 'blk.0.attn_q=TYPE'",
                       [&] { make_plan(open.model, settings); });
}
END_TEST

START_TEST(targets_of_the_float_model_help)
{
    test::ModelSpec spec;
    spec.blocks = 4;
    const std::string path = test::make_model(spec, "targets.gguf");
    const test::Open open(path);
    const Samples samples = samples_of(open, 40);
    Progress progress(Progress::Style::none);
    double divergence[2];
    for (int mu = 0; mu < 2; mu++) {
        Settings settings = settings_for("Q4_0");
        settings.mu = mu;
        const Made made = make(open, settings, samples);
        const Plan plan = make_plan(open.model, settings);
        const std::string to = test::file("targets-out.gguf");
        Writer writer(to, new_metadata(open.model, settings, plan, 40, 40), planned_tensors(open.model, plan), 32);
        for (size_t i = 0; i < made.tensors.size(); i++)
            writer.write(i, made.tensors[i].data(), made.tensors[i].size());
        writer.publish();
        const test::Open quantized(to);
        ck_assert_int_eq(quantized.gguf.integer("general.file_type", 0), 2);
        ck_assert_int_eq(quantized.gguf.integer("general.quantization_version", 0), 2);
        ck_assert(quantized.gguf.text("general.name", "") == "made up");
        divergence[mu] = evaluate(open.model, &quantized.model, samples, 1, progress).divergence.value;
    }
    ck_assert_msg(divergence[1] < divergence[0], "%g, without targets %g", divergence[1], divergence[0]);
}
END_TEST

START_TEST(interrupted_work_goes_on)
{
    const std::string path = test::make_model({}, "resume.gguf");
    const test::Open open(path);
    const Samples samples = samples_of(open);
    const Settings settings = settings_for("Q4_0");
    const Made whole = make(open, settings, samples);
    const std::string at = folder("resume");
    const WorkFolder::Conditions conditions = {{"model", "1"}, {"setting", "type Q4_0"}};
    for (const size_t stop : {3, 9, 10}) {
        const Kept kept(at, conditions);
        bool stopped = false;
        try {
            make(open, settings, samples, &kept, stop);
        } catch (const Interrupted &) {
            stopped = true;
        }
        ck_assert(stopped);
    }
    const Kept kept(at, conditions);
    const Made resumed = make(open, settings, samples, &kept);
    ck_assert(resumed.tensors == whole.tensors);
    for (size_t i = 0; i < whole.results.size(); i++)
        ck_assert(resumed.results[i].error == whole.results[i].error);

    test::expect_error("is of a run with another model: 1, now 2", [&] { Kept(at, {{"model", "2"}}); });
    test::expect_error("is of a run with another setting", [&] { Kept(at, {{"model", "1"}}); });
    const std::string file = at + "/tensor-blk.1.attn_k.weight";
    const std::string bytes = test::read_bytes(file);
    ck_assert(!bytes.empty());
    std::string broken = bytes;
    broken[broken.size() / 2] = static_cast<char>(broken[broken.size() / 2] ^ 1);
    test::write_bytes(file, broken);
    test::expect_error("is damaged; remove it", [&] { make(open, settings, samples, &kept); });
    test::write_bytes(file, bytes.substr(0, 40));
    test::expect_error("is damaged; remove it", [&] { make(open, settings, samples, &kept); });
    test::write_bytes(file, test::read_bytes(at + "/tensor-blk.1.attn_q.weight"));
    test::expect_error("is not of this run", [&] { make(open, settings, samples, &kept); });
    ck_assert_int_eq(std::remove(file.c_str()), 0);
    ck_assert(make(open, settings, samples, &kept).tensors == whole.tensors);
    test::write_bytes(folder("other") + "", "x");
    test::expect_error("cannot be made a folder", [&] { Kept(test::file("other"), conditions); });
}
END_TEST

START_TEST(types_within_a_budget)
{
    const std::string path = test::make_model({}, "average.gguf");
    const test::Open open(path);
    const Samples samples = samples_of(open);
    Settings settings = settings_for("Q4_0");
    settings.types = {type_of_name("Q4_0"), type_of_name("Q5_0"), type_of_name("Q8_0")};
    settings.average_bits = 6;
    const std::string at = folder("average");
    const Kept kept(at, {{"model", "1"}});
    const Made made = make(open, settings, samples, &kept);
    double bits = 0, weights = 0;
    for (const TensorResult &result : made.results) {
        if (!result.solved)
            continue;
        bits += 8 * static_cast<double>(result.size);
        weights += static_cast<double>(result.rows * result.columns);
    }
    ck_assert_msg(bits / weights <= 6 && bits / weights > 5.5, "%g", bits / weights);
    ck_assert(make(open, settings, samples, &kept).tensors == made.tensors);
    test::write_bytes(at + "/types", "x");
    test::expect_error("is damaged", [&] { make(open, settings, samples, &kept); });
    settings.average_bits = 4;
    const Kept *none = nullptr;
    test::expect_error("--avg-bits: ", [&] { make(open, settings, samples, none); });
}
END_TEST

START_TEST(weights_that_are_quantized_already)
{
    const std::string path = test::make_model({}, "first.gguf");
    const test::Open open(path);
    const Settings settings = settings_for("Q8_0");
    const Made made = make(open, settings, samples_of(open));
    const Plan plan = make_plan(open.model, settings);
    const std::string to = test::file("second.gguf");
    Writer writer(to, new_metadata(open.model, settings, plan, 6, 40), planned_tensors(open.model, plan), 32);
    for (size_t i = 0; i < made.tensors.size(); i++)
        writer.write(i, made.tensors[i].data(), made.tensors[i].size());
    writer.publish();
    const test::Open second(to);
    test::expect_error("tensor blk.0.attn_q.weight is Q8_0 already",
                       [&] { make_plan(second.model, settings_for("Q4_0")); });
}
END_TEST

START_TEST(what_memory_is_needed)
{
    const std::string path = test::make_model({}, "memory.gguf");
    const test::Open open(path);
    const Settings settings = settings_for("Q4_0");
    const Need need = memory_need(open.model, settings, make_plan(open.model, settings), 40);
    ck_assert(need.bytes > 100000 && need.bytes < (64u << 20));
    ck_assert(need.tensor == "blk.0.ffn_down.weight");
}
END_TEST

// Not finite anywhere: refused by name.
START_TEST(weights_that_are_not_finite)
{
    std::string bytes = test::read_bytes(test::make_model({}, "nan.gguf"));
    size_t place;
    {
        const Gguf file(reinterpret_cast<const unsigned char *>(bytes.data()), bytes.size(), "nan");
        place = static_cast<size_t>(file.find("blk.1.ffn_up.weight")->data -
                                    reinterpret_cast<const unsigned char *>(bytes.data()));
    }
    const float nan = std::nanf("");
    std::memcpy(&bytes[place + 400], &nan, sizeof nan);
    test::write_bytes(test::file("nan.gguf"), bytes);
    const test::Open open(test::file("nan.gguf"));
    test::expect_error("blk.1.ffn_up.weight: ", [&] { make(open, settings_for("Q4_0"), samples_of(open)); });
}
END_TEST

Suite *test_suite(void)
{
    TCase *tests = tcase_create("all");
    openblas_set_num_threads(1);
    tcase_add_test(tests, every_matrix_of_blocks);
    tcase_add_test(tests, errors_are_those_of_outputs);
    tcase_add_test(tests, the_same_for_any_threads_and_memory);
    tcase_add_test(tests, types_by_name);
    tcase_add_test(tests, targets_of_the_float_model_help);
    tcase_add_test(tests, interrupted_work_goes_on);
    tcase_add_test(tests, types_within_a_budget);
    tcase_add_test(tests, weights_that_are_quantized_already);
    tcase_add_test(tests, what_memory_is_needed);
    tcase_add_test(tests, weights_that_are_not_finite);
    return test_suite_of("bsq-gguf: quantized models", tests);
}
