// Types of layers within a budget of bits, --avg-bits.
#ifndef BSQ_GGUF_ALLOCATE_HPP
#define BSQ_GGUF_ALLOCATE_HPP

#include "quantize/kept.hpp"
#include "quantize/plan.hpp"
#include "text/samples.hpp"

namespace bsq_gguf {

// Chooses one of settings.types for every tensor that plan.chosen names, so that the sum of the layers' relative output
// errors is the least whose weights have settings.average_bits on average. Errors are those of the float model's inputs. 'kept'
// (or NULL) remembers the choice. Throws Error, Interrupted.
void choose_types(const Model &model, const Settings &settings, const Samples &samples, Plan &plan, const Kept *kept,
                  Progress &progress);

} // namespace bsq_gguf

#endif
