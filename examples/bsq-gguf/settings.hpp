// The command line of bsq-gguf.
#ifndef BSQ_GGUF_SETTINGS_HPP
#define BSQ_GGUF_SETTINGS_HPP

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gguf/types.hpp"
#include "text/samples.hpp"
#include "tool/command_line.hpp"

namespace bsq_gguf {

using tool::UsageError;

struct Settings {
    std::string model, output, report, resume, compare;
    Source calibration, evaluation;
    int64_t context = 0;              // 0: by the model
    int64_t sequences = 128;          // to calibrate on, at most; 0: all
    int64_t evaluation_sequences = 0; // 0: all
    std::vector<const Type *> types;  // of linear layers; several: one is chosen for each
    double average_bits = 0;          // 0: not asked for
    std::vector<std::pair<std::string, const Type *>>
        type_for; // pattern of names with *, type; the last that fits counts
    const Type *output_type = nullptr, *embedding_type = nullptr; // NULL: as stored
    int effort = 5, threads = 1;
    double damping = -1; // below 0: by the number of rows
    double mu = 0.5;
    int64_t memory = 0; // bytes; 0: half of the machine's
    bool json = false, quiet = false, help = false, version = false;
    std::string command; // as it was typed

    bool quantizes() const { return !output.empty() || !resume.empty(); }
};

Settings read_settings(int count, char **words); // throws UsageError
void print_help();

// Whether a name is one that a pattern means: * is any characters.
bool fits(const std::string &pattern, const std::string &name);

// What decides the bytes of the result, one line an option: the reader sees it, and --resume compares it.
std::vector<std::string> describe(const Settings &settings);

} // namespace bsq_gguf

#endif
