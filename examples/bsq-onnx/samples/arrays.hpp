// .npy files, and .npz files, which are archives of them.
#ifndef BSQ_ONNX_ARRAYS_HPP
#define BSQ_ONNX_ARRAYS_HPP

#include <map>
#include <memory>
#include <string>

#include "shared.hpp"

extern "C" {
#include "npy.h"
}

namespace bsq_onnx {

struct NpyDeleter {
    void operator()(npy_array *array) const
    {
        npy_free(array);
        delete array;
    }
};
using Npy = std::shared_ptr<npy_array>;

Npy load_npy(const std::string &path);

// The arrays of an .npz file, by name. Throws Error, with the path.
std::map<std::string, Npy> load_npz(const std::string &path);

bool is_array(const std::string &path);   // a .npy file, by its name
bool is_archive(const std::string &path); // an .npz file

} // namespace bsq_onnx

#endif
