// Weights that several layers share: solved once, for the rows of all of them.
#ifndef BSQ_ONNX_SHARED_WEIGHTS_HPP
#define BSQ_ONNX_SHARED_WEIGHTS_HPP

#include <map>
#include <vector>

#include "plan/plan.hpp"
#include "quantize/handle.hpp"
#include "quantize/quantize.hpp"
#include "quantize/result.hpp"

namespace bsq_onnx {

class SharedWeights {
public:
    SharedWeights(const Model &model, const Settings &settings, const Plan &plan, const std::vector<SampleRef> &samples,
                  int64_t calibration, Progress &progress);

    // The layers whose weights are those of 'layer', itself the first; none when it has them alone, takes them from
    // another one, or has no rows.
    std::vector<size_t> uses(size_t layer) const;

    // Gathers rows of all later uses of weights that 'layer', or one behind it, is the first to use: inputs and outputs
    // as the float network gives them, inputs rounded where their quantizers were chosen before layers are. Does so once.
    void gather(size_t layer);

    // Solves for the rows of later uses and those that 'own', the handle of 'layer', has; 'result' gets codes, scales and
    // zero points, 'own' nothing. 'asymmetry' is that of the rows together.
    bsq_report_t solve(size_t layer, bsq_layer_t *own, double asymmetry, LayerResult &result);

private:
    struct Use;
    class Worker;

    std::vector<Use> later_uses(size_t layer) const;
    Quantizers known() const;
    void add_sums(const Layer &layer, int32_t held_out, bsq_layer_t *own, bsq_layer_t *pool) const;

    const Model &model_;
    const Settings &settings_;
    const Plan &plan_;
    const std::vector<SampleRef> &samples_;
    int64_t calibration_;
    Progress &progress_;
    bool gathered_ = false;
    std::map<size_t, LayerHandle> pools_; // of the rows of later uses, by first use
};

} // namespace bsq_onnx

#endif
