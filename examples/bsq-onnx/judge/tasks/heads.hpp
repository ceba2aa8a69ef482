// The heads that are known. Each gives NULL when the outputs are not its own.
#ifndef BSQ_ONNX_HEADS_HPP
#define BSQ_ONNX_HEADS_HPP

#include "judge/tasks/tasks.hpp"

namespace bsq_onnx {

std::unique_ptr<Task> make_nanodet(const Value &input, const std::vector<Value> &outputs);
std::unique_ptr<Task> make_yolov5_seg(const Value &input, const std::vector<Value> &outputs);

// The number behind 'prefix' in 'name', 0 when it is not of that form.
int stride_of(const std::string &name, const std::string &prefix);

const Value *find_value(const std::vector<Value> &values, const std::string &name);

} // namespace bsq_onnx

#endif
