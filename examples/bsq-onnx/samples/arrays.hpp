// .npy files.
#ifndef BSQ_ONNX_ARRAYS_HPP
#define BSQ_ONNX_ARRAYS_HPP

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

inline Npy load_npy(const std::string &path)
{
    auto *array = new npy_array{};
    Npy owner(array, NpyDeleter());
    char message[NPY_MESSAGE_SIZE];
    if (!npy_load(path.c_str(), array, message))
        throw Error(path + ": " + message);
    return owner;
}

} // namespace bsq_onnx

#endif
