// What bsq-onnx has in common with other programs goes by its plain name here.
#ifndef BSQ_ONNX_SHARED_HPP
#define BSQ_ONNX_SHARED_HPP

#include "tool/error.hpp"
#include "tool/files.hpp"
#include "tool/half.hpp"
#include "tool/progress.hpp"
#include "tool/store.hpp"
#include "tool/work_folder.hpp"

namespace bsq_onnx {

using namespace tool;

} // namespace bsq_onnx

#endif
