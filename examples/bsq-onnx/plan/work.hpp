// How much work a run is, by what is known before it: extents of layers, numbers of samples, effort.
#ifndef BSQ_ONNX_WORK_HPP
#define BSQ_ONNX_WORK_HPP

#include <cstdint>

#include "model/model.hpp"
#include "plan/plan.hpp"

namespace bsq_onnx {

// In nanoseconds of one core of the machine where docs/results.md was measured: of running a layer's segment on samples
// and gathering its statistics, of judging it on samples, of solving it.
double gathering_work(const Layer &layer, int64_t samples);
double judging_work(const Layer &layer, int64_t samples);
double solving_work(const Layer &layer, int effort);

// Of gathering the rows of all uses but the first of weights that several layers share; 0 without such.
double sharing_work(const Model &model, const Plan &plan, int64_t samples);

// Of one sample through all of the network, once.
double network_work(const Model &model);

// The highest effort at which solving is a tenth of the run's work at most, 3 at least. It is told by this table and not
// by a clock, so that the same command gives the same network on any machine. 'fitted' samples calibrate or are held
// out, 'judged' ones are evaluated.
int chosen_effort(const Model &model, const Plan &plan, int64_t fitted, int64_t judged);

} // namespace bsq_onnx

#endif
