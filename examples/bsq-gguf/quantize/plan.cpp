#include "quantize/plan.hpp"

#include <algorithm>
#include <map>

#include "bsq.h"
#include "shared.hpp"

namespace bsq_gguf {

namespace {

// The weights of linear layers: all matrices of blocks.
bool is_linear(const Tensor &tensor)
{
    return tensor.name.compare(0, 4, "blk.") == 0 && tensor.extents.size() == 2;
}

std::string without_suffix(const std::string &name)
{
    const std::string suffix = ".weight";
    return name.size() > suffix.size() && name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0
               ? name.substr(0, name.size() - suffix.size())
               : name;
}

std::string base_name(const std::string &path)
{
    return path.substr(path.find_last_of('/') + 1);
}

} // namespace

const Type *Plan::of(const Model &model, const std::string &tensor) const
{
    const Tensor *found = model.file().find(tensor);
    return types[static_cast<size_t>(found - model.file().tensors().data())];
}

void check_type(const Model &model, const Tensor &tensor, const Type &type)
{
    const std::string &file = model.file().name();
    if (&type == tensor.type)
        return;
    if (!tensor.type->is_float())
        throw Error(file + ": tensor " + tensor.name + " is " + tensor.type->name +
                    " already; quantize the float model that it came from");
    if (tensor.columns() % type.block != 0)
        throw Error(file + ": tensor " + tensor.name + " has rows of " + std::to_string(tensor.columns()) + "; " +
                    type.name + " needs multiples of " + std::to_string(type.block) +
                    ": give another with --type-for '" + without_suffix(tensor.name) + "=TYPE'");
}

Plan make_plan(const Model &model, const Settings &settings)
{
    Plan plan;
    std::vector<bool> used(settings.type_for.size(), false);
    for (const Tensor &tensor : model.file().tensors()) {
        const Type *type = tensor.type;
        bool chosen = false;
        if (is_linear(tensor)) {
            type = settings.types.front();
            chosen = settings.types.size() > 1;
        } else if (tensor.name == "output.weight" && settings.output_type != nullptr) {
            type = settings.output_type;
        } else if (tensor.name == "token_embd.weight" && settings.embedding_type != nullptr) {
            type = settings.embedding_type;
        }
        for (size_t i = 0; i < settings.type_for.size(); i++) {
            const auto &[pattern, wanted] = settings.type_for[i];
            if (tensor.extents.size() == 2 &&
                (fits(pattern, tensor.name) || fits(pattern, without_suffix(tensor.name)))) {
                type = wanted;
                chosen = false;
                used[i] = true;
            }
        }
        if (!chosen)
            check_type(model, tensor, *type);
        else
            for (const Type *choice : settings.types)
                check_type(model, tensor, *choice);
        plan.types.push_back(type);
        plan.chosen.push_back(chosen);
    }
    for (size_t i = 0; i < used.size(); i++)
        if (!used[i])
            throw Error(model.file().name() + ": no matrix is named as --type-for '" + settings.type_for[i].first +
                        "' says");
    if (model.tied() && settings.output_type != nullptr)
        throw Error(model.file().name() +
                    ": has no output of its own; the embedding serves as such, and has --embedding-type");
    return plan;
}

Metadata new_metadata(const Model &model, const Settings &settings, const Plan &plan, int64_t sequences,
                      int64_t context)
{
    // A file has the type that most of its weights in linear layers have.
    std::map<const Type *, int64_t> weights;
    uint32_t quantized = 0;
    for (size_t i = 0; i < plan.types.size(); i++) {
        const Tensor &tensor = model.file().tensors()[i];
        quantized += !plan.types[i]->is_float() ? 1 : 0;
        if (is_linear(tensor))
            weights[plan.types[i]] += tensor.rows() * tensor.columns();
    }
    const Type *most = weights.begin()->first;
    for (const auto &[type, count] : weights)
        if (count > weights[most])
            most = type;

    Metadata metadata;
    metadata.copy(model.file());
    metadata.set("general.file_type", most->file_type);
    metadata.set("general.quantization_version", uint32_t{2});
    metadata.set("quantize.bsq.version", std::string(bsq_version_string()));
    metadata.set("quantize.bsq.effort", static_cast<uint32_t>(settings.effort));
    metadata.set("quantize.bsq.asymmetry", static_cast<float>(settings.mu));
    metadata.set("quantize.bsq.tensors", quantized);
    const std::string data = settings.calibration.tokens.empty() && !settings.calibration.texts.empty()
                                 ? base_name(settings.calibration.texts.front())
                                 : base_name(settings.calibration.tokens);
    metadata.set("quantize.imatrix.dataset", data);
    metadata.set("quantize.imatrix.chunks_count", static_cast<uint32_t>(sequences));
    metadata.set("quantize.bsq.context", static_cast<uint32_t>(context));
    return metadata;
}

std::vector<Planned> planned_tensors(const Model &model, const Plan &plan)
{
    std::vector<Planned> tensors;
    for (size_t i = 0; i < plan.types.size(); i++) {
        const Tensor &tensor = model.file().tensors()[i];
        tensors.push_back({tensor.name, tensor.extents, plan.types[i]});
    }
    return tensors;
}

} // namespace bsq_gguf
