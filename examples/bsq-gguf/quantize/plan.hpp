// Which type each tensor of the new file has.
#ifndef BSQ_GGUF_PLAN_HPP
#define BSQ_GGUF_PLAN_HPP

#include <vector>

#include "gguf/writer.hpp"
#include "model/model.hpp"
#include "settings.hpp"

namespace bsq_gguf {

// In the order of the file's tensors.
struct Plan {
    std::vector<const Type *> types;
    std::vector<bool> chosen; // by --avg-bits, among settings.types; until then 'types' has the first of them

    const Type *of(const Model &model, const std::string &tensor) const;
};

// Throws Error when a type cannot hold the rows of a tensor, or a weight that is to be quantized is not of floats.
Plan make_plan(const Model &model, const Settings &settings);

// Throws Error when 'type' cannot hold the tensor.
void check_type(const Model &model, const Tensor &tensor, const Type &type);

// The metadata of the new file: that of the old one, with its type, the version of quantization, and where it comes from.
Metadata new_metadata(const Model &model, const Settings &settings, const Plan &plan, int64_t sequences,
                      int64_t context);

std::vector<Planned> planned_tensors(const Model &model, const Plan &plan);

} // namespace bsq_gguf

#endif
