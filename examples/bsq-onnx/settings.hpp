// The command line of bsq-onnx.
#ifndef BSQ_ONNX_SETTINGS_HPP
#define BSQ_ONNX_SETTINGS_HPP

#include <map>
#include <set>
#include <string>
#include <vector>

#include "engines/engine.hpp"
#include "judge/metrics.hpp"
#include "report/write.hpp"
#include "samples/samples.hpp"
#include "tool/command_line.hpp"

namespace bsq_onnx {

using tool::UsageError;

struct Settings {
    std::string model, output, report, resume, labels;
    Sources images, test;
    int64_t batch = 0;    // samples that are put together; 0: as the network says
    std::string row_mask; // input that says which rows count
    Preprocessing preprocessing;
    int64_t calibration_samples = -1; // -1: as many as fill the statistics, see calibration_count
    int64_t held_out_samples = 16;
    int64_t evaluation_samples = -1; // -1: all that there are
    int accuracy_level = 0;          // of MatMulNBits, 0: not said
    int64_t one_file_limit = 0;      // bytes of a network that is written as one file, see report/write.hpp
    int64_t memory = 0;              // bytes: activations beyond go to a file, see also Limits; 0: by the machine
    bsq_options_t options;           // of every layer; weight_bits as --weight-bits says, input_bits as --act-bits
    bool choose_effort = true;       // options.effort is still to be chosen, see plan/work.hpp
    int edge_bits = 8;
    int depthwise_bits = 8;   // at least, of layers with one input channel a group; 0: as others
    double average_bits = 0;  // 0: not asked for
    double target_drop = -1;  // points that the network may lose; -1: not asked for
    bool equalize = true;     // rescale channels where that lets quantizers fit better, see plan/equalize.hpp
    int64_t group_size = 0;   // inputs of a channel that share a scale; 0: all
    bool share = false;       // tensors that Add or Concat join have one quantizer
    bool per_channel = false; // ECAQ with a scale for each input channel
    std::set<std::string> skip;
    std::set<std::string> keep_float; // tensors, or nodes, that have no quantizer in integer form
    bool float_head = false;          // last layers stay float
    std::map<std::string, int> bits_for;
    std::map<std::string, int> input_bits_for; // by tensor
    bool calibrate_on_first = false;           // of the images, not on some from all of them
    int64_t calibration_seed = -1;             // draws them; -1: evenly spread
    bool evaluate = false;                     // without any file to write
    Format format = Format::qdq;
    std::string task = "auto";
    std::vector<MetricChoice> metrics;
    std::string token_ids; // input that has the ids of tokens; "": the only one that fits
    EngineChoice engine = EngineChoice::automatic;
    std::string onnxruntime; // its library, or a folder with it
    bool json = false, quiet = false;
    bool help = false, version = false;
    std::string command; // as it was typed
};

// Throws UsageError, or Error when a preset cannot be read.
Settings read_settings(int count, char **words);

void print_help();

// Whether every tensor between layers has a quantizer, not the inputs of layers alone.
bool integer_form(const Settings &settings);

// What decides the result, one line an option: the reader sees it, and --resume compares it.
std::vector<std::string> describe(const Settings &settings);

} // namespace bsq_onnx

#endif
