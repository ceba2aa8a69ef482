#include "judge/tasks/tasks.hpp"

#include "shared.hpp"
#include "judge/tasks/heads.hpp"

namespace bsq_onnx {

int stride_of(const std::string &name, const std::string &prefix)
{
    const std::string digits = name.size() > prefix.size() ? name.substr(prefix.size()) : "";
    if (digits.empty() || digits.size() > 4 || name.compare(0, prefix.size(), prefix) != 0 ||
        digits.find_first_not_of("0123456789") != std::string::npos) {
        return 0;
    }
    return std::stoi(digits);
}

const Value *find_value(const std::vector<Value> &values, const std::string &name)
{
    for (const Value &value : values) {
        if (value.name == name) {
            return &value;
        }
    }
    return nullptr;
}

std::unique_ptr<Task> make_task(const std::string &name, const Value &input, const std::vector<Value> &outputs)
{
    if (name == "none") {
        return nullptr;
    }
    if (name != "auto" && name != "nanodet" && name != "yolov5-seg") {
        throw Error("unknown task '" + name + "': it is auto, nanodet, yolov5-seg or none");
    }
    std::unique_ptr<Task> task;
    if (name != "yolov5-seg") {
        task = make_nanodet(input, outputs);
    }
    if (!task && name != "nanodet") {
        task = make_yolov5_seg(input, outputs);
    }
    if (!task && name == "nanodet") {
        throw Error("task nanodet needs pairs of outputs cls_pred_stride_<s> (1, places, classes) and "
                    "dis_pred_stride_<s> (1, places, 4 x bins)");
    }
    if (!task && name == "yolov5-seg") {
        throw Error("task yolov5-seg needs outputs pred_8, pred_16, pred_32 (1, 3, places, 5 + classes + coefficients) "
                    "and proto (1, coefficients, pixels)");
    }
    return task;
}

} // namespace bsq_onnx
