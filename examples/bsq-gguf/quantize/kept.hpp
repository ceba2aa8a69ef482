// Tensors that are done, kept in a folder for --resume.
#ifndef BSQ_GGUF_KEPT_HPP
#define BSQ_GGUF_KEPT_HPP

#include <string>
#include <vector>

#include "quantize/result.hpp"
#include "shared.hpp"

namespace bsq_gguf {

class Kept {
public:
    // As the folder's constructor: throws Error when work that is there cannot go on.
    Kept(const std::string &folder, const WorkFolder::Conditions &conditions);

    // Fills in 'result', whose name, type and extents are set, and gives the tensor's bytes; false when it is not there.
    // Throws Error when what is there is damaged, or of another tensor.
    bool load(TensorResult &result, std::vector<unsigned char> &bytes) const;
    void save(const TensorResult &result, const std::vector<unsigned char> &bytes) const;

    // Numbers of the types that were chosen for all tensors; empty when they are not there.
    std::vector<uint32_t> load_types() const;
    void save_types(const std::vector<uint32_t> &types) const;

private:
    WorkFolder folder_;
};

} // namespace bsq_gguf

#endif
