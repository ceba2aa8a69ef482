// What comes out of a run, for people and for programs.
#ifndef BSQ_GGUF_REPORT_HPP
#define BSQ_GGUF_REPORT_HPP

#include <string>
#include <vector>

#include "judge/evaluate.hpp"
#include "model/model.hpp"
#include "quantize/result.hpp"
#include "settings.hpp"

namespace bsq_gguf {

struct RunResult {
    std::string model, output, command;
    std::vector<std::string> settings;
    Shape shape;
    std::vector<TensorResult> tensors; // matrices, in the order of the work
    int64_t sequences = 0, context = 0;
    uint64_t size_before = 0, size_after = 0; // of the files; after is 0 when none was written
    uint64_t peak_memory = 0;                 // bytes, with what was mapped of files at that time
    Judgement judgement;
    Seconds seconds;
};

// Bits of a weight on average over what was quantized; 0 when nothing was.
double average_bits(const RunResult &result);
// Geometric mean of the errors of solved tensors that have one; 0 when there are none.
double mean_error(const RunResult &result);

void print_text(const RunResult &result);
void print_json(const RunResult &result);
std::string write_report(const RunResult &result); // an HTML page

} // namespace bsq_gguf

#endif
