#include "quantize/allocate.hpp"

#include <algorithm>

#include "quantize/activations.hpp"
#include "quantize/quantize.hpp"
#include "quantize/solve.hpp"

namespace bsq_gguf {

namespace {

struct Table {
    std::vector<size_t> tensors; // places in the file
    std::vector<double> errors;  // (tensors, types)
    std::vector<int64_t> costs;  // bits
    int64_t weights = 0;
};

Table measure(const Model &model, const Settings &settings, const Samples &samples, const Plan &plan,
              Progress &progress)
{
    Table table;
    ActivationStore activations(model, samples, settings.threads, false,
                                room_beside(model, settings, plan, samples.context));
    activations.embed(model.embedding(), model.embedding());
    for (int64_t b = 0; b < model.shape().blocks; b++) {
        const BlockWeights block = model.block(b);
        for (size_t s = 0; s < stages.size(); s++) {
            StatsHandle stats;
            for (size_t i = 0; i < stages[s].count; i++) {
                const auto linear = static_cast<Linear>(stages[s].first + i);
                const std::string name = linear_name(b, linear) + ".weight";
                const auto place = static_cast<size_t>(model.file().find(name) - model.file().tensors().data());
                const Matrix &weights = block.linear[linear];
                progress.step("types: " + name, static_cast<double>(weights.rows * weights.columns));
                if (plan.chosen[place]) {
                    const Feed feed = [&](int64_t first, int64_t count,
                                          const std::function<void(const Activations &)> &take) {
                        activations.feed(block, block, s, linear, first, count, take, progress);
                    };
                    if (!stats)
                        stats = gather(weights, feed, settings, name);
                    const std::vector<double> errors =
                        error_table(weights, settings.types, stats.get(), settings, name, progress);
                    table.tensors.push_back(place);
                    table.errors.insert(table.errors.end(), errors.begin(), errors.end());
                    for (const Type *type : settings.types)
                        table.costs.push_back(weights.rows * weights.columns / type->block * type->bytes * 8);
                    table.weights += weights.rows * weights.columns;
                }
                progress.end("");
            }
            if (stages[s].count == 1)
                activations.advance(block, block, s, progress);
        }
    }
    return table;
}

} // namespace

void choose_types(const Model &model, const Settings &settings, const Samples &samples, Plan &plan, const Kept *kept,
                  Progress &progress)
{
    const std::vector<uint32_t> there = kept != nullptr ? kept->load_types() : std::vector<uint32_t>();
    if (!there.empty()) {
        for (size_t i = 0; i < plan.types.size(); i++) {
            const Type *type = i < there.size() ? type_of_number(there[i]) : nullptr;
            const bool may = plan.chosen[i] ? std::count(settings.types.begin(), settings.types.end(), type) > 0
                                            : type == plan.types[i];
            if (there.size() != plan.types.size() || type == nullptr || !may)
                throw Error(settings.resume +
                            "/types: these types cannot be chosen; remove it to have them chosen again");
            plan.types[i] = type;
        }
        return;
    }
    const Table table = measure(model, settings, samples, plan, progress);
    const size_t choices = settings.types.size();
    const auto budget = static_cast<int64_t>(settings.average_bits * static_cast<double>(table.weights));
    std::vector<int32_t> chosen(table.tensors.size());
    char text[300] = "";
    bsq_error_t error;
    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    if (!chosen.empty() && bsq_allocate_bits(table.errors.data(), table.costs.data(), nullptr, chosen.size(), choices,
                                             budget, nullptr, chosen.data(), nullptr, &error) != BSQ_OK)
        throw Error("--avg-bits: " + std::string(text));
    for (size_t i = 0; i < chosen.size(); i++)
        plan.types[table.tensors[i]] = settings.types[static_cast<size_t>(chosen[i])];
    if (kept != nullptr) {
        std::vector<uint32_t> numbers;
        for (const Type *type : plan.types)
            numbers.push_back(type->number);
        kept->save_types(numbers);
    }
}

} // namespace bsq_gguf
