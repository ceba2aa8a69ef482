// .npy files, and .npz files, which are archives of them.
#ifndef BSQ_ONNX_ARRAYS_HPP
#define BSQ_ONNX_ARRAYS_HPP

#include <map>
#include <memory>
#include <string>

#include "model/array.hpp"
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

// The elements of an array from the 'first' on, as many as 'shape' has, in the type that the file has.
Array slice(const npy_array &from, const Shape &shape, int64_t first);

bool is_array(const std::string &path);   // a .npy file, by its name
bool is_archive(const std::string &path); // an .npz file

} // namespace bsq_onnx

#endif
