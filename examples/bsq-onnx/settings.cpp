// The command line of bsq-onnx.
#include "settings.hpp"

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <thread>

#include "samples/arrays.hpp"
#include "shared.hpp"

namespace bsq_onnx {

namespace {

// What the table of options fills; Settings is made of it.
struct Fields {
    struct argument_list images, test, skip, bits_for, keep_float, act_bits_for, input, test_input, metric;
    const char *row_mask, *token_ids, *labels, *size, *mean, *deviation, *preset, *output, *report, *resume,
        *onnxruntime;
    int32_t crop, letterbox, bgr, shorter, batch;
    double pad;
    int32_t calib, calib_first, calib_seed, held_out, eval, evaluate, memory, one_file, accuracy_level;
    int32_t weight_bits, act_bits, act_type, act_scale, act_share, act_clip, edge_bits, depthwise_bits, range, effort,
        threads, bias_correction, group_size, equalize;
    double act_percentile, average_bits, target_drop, mu, damping;
    int32_t format, float_head, task, engine, json, quiet, help, version;
};

const struct argument_choice ranges[] = {{"symmetric", BSQ_WEIGHT_GRID_SYMMETRIC},
                                         {"full", BSQ_WEIGHT_GRID_FULL},
                                         {"zero-point", BSQ_WEIGHT_GRID_ZERO_POINT},
                                         {nullptr, 0}};
const struct argument_choice types[] = {{"auto", BSQ_INPUT_TYPE_AUTO},
                                        {"unsigned", BSQ_INPUT_TYPE_UNSIGNED},
                                        {"signed", BSQ_INPUT_TYPE_SIGNED},
                                        {"zero-point", BSQ_INPUT_TYPE_ZERO_POINT},
                                        {nullptr, 0}};
const struct argument_choice switches[] = {{"on", 1}, {"off", 0}, {nullptr, 0}};
const struct argument_choice kinds[] = {{"per-tensor", 0}, {"per-channel", 1}, {nullptr, 0}};
const struct argument_choice clips[] = {{"squared-error", BSQ_INPUT_CLIP_SQUARED_ERROR},
                                        {"minimum-maximum", BSQ_INPUT_CLIP_MINIMUM_MAXIMUM},
                                        {"percentile", BSQ_INPUT_CLIP_PERCENTILE},
                                        {nullptr, 0}};
const struct argument_choice formats[] = {{"qdq", static_cast<int32_t>(Format::qdq)},
                                          {"qdq-layers", static_cast<int32_t>(Format::qdq_layers)},
                                          {"float", static_cast<int32_t>(Format::qdq_float)},
                                          {"int4", static_cast<int32_t>(Format::int4)},
                                          {"matmulnbits", static_cast<int32_t>(Format::matmulnbits)},
                                          {nullptr, 0}};
const struct argument_choice tasks[] = {{"auto", 0}, {"nanodet", 1}, {"yolov5-seg", 2}, {"none", 3}, {nullptr, 0}};

const struct argument_choice engines[] = {{"auto", static_cast<int32_t>(EngineChoice::automatic)},
                                          {"onnxruntime", static_cast<int32_t>(EngineChoice::onnxruntime)},
                                          {"opencv", static_cast<int32_t>(EngineChoice::opencv)},
                                          {nullptr, 0}};

#define AT(field) offsetof(Fields, field)

const struct argument samples_table[] = {
    {"images", ARGUMENT_LIST, "DIR|FILE",
     "folder of pictures or of .npz files (one a sample, with an array for each input), one such file, or .npy; may be "
     "given several times",
     AT(images), 0, 0, nullptr},
    {"input", ARGUMENT_LIST, "NAME=FILE.npy",
     "an array with one input of all samples, which are its first axis; may be given several times", AT(input), 0, 0,
     nullptr},
    {"test", ARGUMENT_LIST, "DIR|FILE", "samples to evaluate on, instead of the rest of --images", AT(test), 0, 0,
     nullptr},
    {"test-input", ARGUMENT_LIST, "NAME=FILE.npy", "the same as --input, of the samples to evaluate on", AT(test_input),
     0, 0, nullptr},
    {"batch", ARGUMENT_INTEGER, "N",
     "put N samples of the same extents together for a network that leaves its batch open [as many as it says, or 1]",
     AT(batch), 1, 65536, nullptr},
    {"row-mask", ARGUMENT_TEXT, "NAME",
     "input of 0 and 1, an attention mask: where it is 0, nothing counts in statistics, ranges and errors",
     AT(row_mask), 0, 0, nullptr},
    {"labels", ARGUMENT_TEXT, "FILE",
     "lines \"class file [name of the class]\", or a .npy of integers, one for each sample, or for each of its "
     "positions "
     "(with --metric top1)",
     AT(labels), 0, 0, nullptr},
    {"calib", ARGUMENT_INTEGER, "N",
     "calibrate on N of --images, evenly spread over their order [so many that every layer has 64 rows for each input, "
     "at "
     "most half of them, all with --test]",
     AT(calib), 1, INT_MAX, nullptr},
    {"calib-first", ARGUMENT_FLAG, nullptr, "calibrate on the first N instead", AT(calib_first), 0, 0, nullptr},
    {"calib-seed", ARGUMENT_INTEGER, "S", "calibrate on N drawn at random, the same ones for the same S",
     AT(calib_seed), 0, INT_MAX, nullptr},
    {"held-out", ARGUMENT_INTEGER, "N", "measure each layer's error on N others, too; 0: do not [16]", AT(held_out), 0,
     INT_MAX, nullptr},
    {"eval", ARGUMENT_INTEGER, "N", "evaluate N of those that are left, 0: none [all]", AT(eval), 0, INT_MAX, nullptr},
    {"evaluate", ARGUMENT_FLAG, nullptr, "say how good the network is though neither -o nor --report is given",
     AT(evaluate), 0, 0, nullptr},
};

const struct argument picture_table[] = {
    {"size", ARGUMENT_TEXT, "N|HxW", "pixels of the network's input; any other than it has is refused [what it has]",
     AT(size), 0, 0, nullptr},
    {"crop", ARGUMENT_FLAG, nullptr, "scale as --shorter says, cut out the centre; else pictures are stretched",
     AT(crop), 0, 0, nullptr},
    {"shorter", ARGUMENT_INTEGER, "N", "with --crop: pixels of the shorter side, at least those of the input [256]",
     AT(shorter), 1, 1000000, nullptr},
    {"letterbox", ARGUMENT_FLAG, nullptr, "scale to fit, fill up with a border on both sides", AT(letterbox), 0, 0,
     nullptr},
    {"pad", ARGUMENT_NUMBER, "V", "with --letterbox: value of the border, 0..255 [0]", AT(pad), 0, 255, nullptr},
    {"bgr", ARGUMENT_FLAG, nullptr, "channels are blue, green, red; else red, green, blue", AT(bgr), 0, 0, nullptr},
    {"mean", ARGUMENT_TEXT, "M|A,B,C",
     "pixels of 0..255 become (pixel - mean) / std; one, or one for each channel in its order [0]", AT(mean), 0, 0,
     nullptr},
    {"std", ARGUMENT_TEXT, "S|A,B,C", "numbers above 0, one, or one for each channel [1]", AT(deviation), 0, 0,
     nullptr},
};

const struct argument preset_table[] = {
    {"preset", ARGUMENT_TEXT, "FILE",
     "lines as \"size 224\" or \"bgr\": options of this part; typed ones count before them", AT(preset), 0, 0, nullptr},
};

const struct argument method_table[] = {
    {"weight-bits", ARGUMENT_INTEGER, "B", "bits of weights, 2..8 [8 with --format qdq, else 4]", AT(weight_bits), 2, 8,
     nullptr},
    {"act-bits", ARGUMENT_INTEGER, "B",
     "bits of activations, 2..8, or 0: they stay float [8; 0 with --format matmulnbits]", AT(act_bits), 0, 8, nullptr},
    {"act-type", ARGUMENT_CHOICE, nullptr, "auto: unsigned without negative values, else zero-point [auto]",
     AT(act_type), 0, 0, types},
    {"act-scale", ARGUMENT_CHOICE, nullptr,
     "one scale, or one for each channel as far as it helps and the graph allows it [per-tensor]", AT(act_scale), 0, 0,
     kinds},
    {"act-share", ARGUMENT_FLAG, nullptr,
     "one quantizer for all tensors that meet in an Add or Concat [each has its own]", AT(act_share), 0, 0, nullptr},
    {"act-clip", ARGUMENT_CHOICE, nullptr, "how ranges of activations are found [squared-error]", AT(act_clip), 0, 0,
     clips},
    {"act-percentile", ARGUMENT_NUMBER, "P", "with --act-clip percentile: share of values inside, above 0.5 [0.9999]",
     AT(act_percentile), 0.500001, 1, nullptr},
    {"edge-bits", ARGUMENT_INTEGER, "B",
     "at least so many bits for first and last layers and their inputs; 0: as others [8; 0 with --format matmulnbits]",
     AT(edge_bits), 0, 8, nullptr},
    {"depthwise-bits", ARGUMENT_INTEGER, "B",
     "at least so many bits for depthwise layers, which are few weights and suffer most; 0: as others [8]",
     AT(depthwise_bits), 0, 8, nullptr},
    {"act-bits-for", ARGUMENT_LIST, "TENSOR=B",
     "bits of one tensor, 2..8, or 16 (opset 21); may be given several times", AT(act_bits_for), 0, 0, nullptr},
    {"skip", ARGUMENT_LIST, "LAYER", "leave this layer float; may be given several times", AT(skip), 0, 0, nullptr},
    {"float-head", ARGUMENT_FLAG, nullptr, "leave the last layers float, too, not only what they give", AT(float_head),
     0, 0, nullptr},
    {"keep-float", ARGUMENT_LIST, "NAME",
     "with --format qdq: no quantizer on this tensor, or on what this node gives; may be given several times",
     AT(keep_float), 0, 0, nullptr},
    {"bits-for", ARGUMENT_LIST, "LAYER=B", "bits of one layer's weights, 2..8; may be given several times",
     AT(bits_for), 0, 0, nullptr},
    {"avg-bits", ARGUMENT_NUMBER, "B", "2..8: choose each layer's bits, edges too, so that weights have B on average",
     AT(average_bits), 2, 8, nullptr},
    {"target-drop", ARGUMENT_NUMBER, "P",
     "0..100: find the smallest file that loses P points at most, of top-1, without labels of agreement with the float "
     "network, or of boxes found; layers have 4 or 8 bits; --format int4 unless matmulnbits is said",
     AT(target_drop), 0, 100, nullptr},
    {"range", ARGUMENT_CHOICE, nullptr,
     "of codes: -7..7 or -8..7 at 4 bits, or 0..15 with a zero point for each scale [full; zero-point with --format "
     "matmulnbits]",
     AT(range), 0, 0, ranges},
    {"group-size", ARGUMENT_INTEGER, "G",
     "with --format int4, matmulnbits or float: so many inputs of a channel share a scale, 0: all [0; 32 with --format "
     "matmulnbits]",
     AT(group_size), 0, 65536, nullptr},
    {"equalize", ARGUMENT_CHOICE, nullptr,
     "rescale channels between layers by powers of two, which the layers around them take over, where ranges differ so "
     "much that it halves the expected error [on]",
     AT(equalize), 0, 0, switches},
    {"effort", ARGUMENT_INTEGER, "E",
     "0 (rounds) .. 9 (searches longest) [the highest that is expected to take a tenth of the run at most, 3 at least]",
     AT(effort), 0, 9, nullptr},
    {"mu", ARGUMENT_NUMBER, "MU", "0: a layer's own outputs are wanted, 1: the float network's [0.75]", AT(mu), 0, 1,
     nullptr},
    {"damping", ARGUMENT_NUMBER, "D", "0..1, a share of the mean of diag H [chosen by the number of rows]", AT(damping),
     0, 1, nullptr},
    {"bias-correction", ARGUMENT_CHOICE, nullptr, "biases make up for the mean of the error [on]", AT(bias_correction),
     0, 0, switches},
    {"threads", ARGUMENT_INTEGER, "T", "1..1024 [as many as the machine has]", AT(threads), 1, 1024, nullptr},
    {"memory", ARGUMENT_INTEGER, "MB",
     "activations beyond this go to a file; networks that need more for one sample are refused [half of the machine's, "
     "at most 4096]",
     AT(memory), 1, INT_MAX, nullptr},
    {"engine", ARGUMENT_CHOICE, nullptr,
     "what runs the network while it is quantized; auto: ONNX Runtime where its library is found, else OpenCV [auto]",
     AT(engine), 0, 0, engines},
    {"onnxruntime", ARGUMENT_TEXT, "PATH",
     "ONNX Runtime's library, or the folder that it is in [BSQ_ONNXRUNTIME, then where the system looks]",
     AT(onnxruntime), 0, 0, nullptr},
};

const struct argument output_table[] = {
    {"output", ARGUMENT_TEXT, "FILE", "or -o FILE: the quantized network; FILE.json has every number", AT(output), 0, 0,
     nullptr},
    {"format", ARGUMENT_CHOICE, nullptr,
     "qdq: QuantizeLinear/DequantizeLinear on every tensor between layers, for engines that run integers; "
     "qdq-layers: before layers only; float: float weights; int4: packed 4 bits; matmulnbits: ONNX Runtime's "
     "MatMulNBits for Gemm and MatMul, all else float [qdq]",
     AT(format), 0, 0, formats},
    {"accuracy-level", ARGUMENT_INTEGER, nullptr,
     "how MatMulNBits multiplies: 1: in float32, 4: in int8, with activations rounded in blocks, which is faster; 0: "
     "ONNX Runtime chooses, float32 so far [0]",
     AT(accuracy_level), 0, 4, nullptr},
    {"one-file", ARGUMENT_INTEGER, "MB",
     "a larger network has its weights in FILE.data, beside it; 0: always [2047, what the format allows]", AT(one_file),
     0, 2047, nullptr},
    {"report", ARGUMENT_TEXT, "FILE", "a report as one HTML page", AT(report), 0, 0, nullptr},
    {"task", ARGUMENT_CHOICE, nullptr,
     "what the outputs mean, for boxes and masks; auto: by their names and shapes [auto]", AT(task), 0, 0, tasks},
    {"metric", ARGUMENT_LIST, "KIND[=OUTPUT]",
     "judge an output by more: error (relative), cosine (similarity of its vectors), tokens (logits of the next token: "
     "agreement, accuracy, perplexity), top1 (with --labels); may be given several times",
     AT(metric), 0, 0, nullptr},
    {"token-ids", ARGUMENT_TEXT, "NAME",
     "with --metric tokens: the input that has the tokens [the only one of integers that fits]", AT(token_ids), 0, 0,
     nullptr},
    {"resume", ARGUMENT_TEXT, "DIR", "keep finished work there, go on with what is there", AT(resume), 0, 0, nullptr},
    {"json", ARGUMENT_FLAG, nullptr, "print the results as one JSON object", AT(json), 0, 0, nullptr},
    {"quiet", ARGUMENT_FLAG, nullptr, "no progress", AT(quiet), 0, 0, nullptr},
    {"help", ARGUMENT_FLAG, nullptr, "print this and stop", AT(help), 0, 0, nullptr},
    {"version", ARGUMENT_FLAG, nullptr, "print the version and stop", AT(version), 0, 0, nullptr},
};

// The options of a preset, as words of a command line.
std::vector<std::string> read_preset(const std::string &path)
{
    std::ifstream file(path);
    if (!file)
        throw Error(path + ": " + std::strerror(errno));
    std::vector<std::string> words;
    std::string line;
    for (int number = 1; std::getline(file, line); number++) {
        std::istringstream stream(line.substr(0, line.find('#')));
        std::string name, value, more;
        if (!(stream >> name))
            continue;
        stream >> value;
        const bool known = std::any_of(std::begin(picture_table), std::end(picture_table),
                                       [&](const struct argument &a) { return name == a.name; });
        if (!known || stream >> more)
            throw Error(path + ": line " + std::to_string(number) + " is no \"option value\" of preprocessing");
        words.push_back("--" + name + (value.empty() ? "" : "=" + value));
    }
    if (file.bad())
        throw Error(path + ": " + std::strerror(errno));
    return words;
}

// What was typed, in parts.
struct Words {
    std::vector<std::string> networks;
    std::vector<std::string> preset, options; // the second count
};

Words sort_words(const std::vector<std::string> &typed, const Table &table)
{
    Words words;
    for (size_t i = 1; i < typed.size(); i++) {
        const std::string word = typed[i] == "-o" ? "--output" : typed[i];
        if (word.compare(0, 1, "-") != 0) {
            words.networks.push_back(word);
            continue;
        }
        words.options.push_back(word);
        if (takes_value(table, word) && i + 1 < typed.size())
            words.options.push_back(typed[++i]);
        const std::string prefix = "--preset=";
        const std::string path = word.compare(0, prefix.size(), prefix) == 0 ? word.substr(prefix.size())
                                 : word == "--preset"                        ? words.options.back()
                                                                             : "--preset";
        if (path != "--preset" && !path.empty())
            words.preset = read_preset(path);
    }
    return words;
}

constexpr size_t lists = 9; // options that may be given several times

Fields defaults(std::vector<const char *> &room)
{
    Fields fields{};
    const size_t each = room.size() / lists;
    fields.images.text = &room[0];
    fields.test.text = &room[each];
    fields.skip.text = &room[2 * each];
    fields.bits_for.text = &room[3 * each];
    fields.keep_float.text = &room[4 * each];
    fields.act_bits_for.text = &room[5 * each];
    fields.input.text = &room[6 * each];
    fields.test_input.text = &room[7 * each];
    fields.metric.text = &room[8 * each];
    fields.shorter = 256;
    fields.calib = fields.calib_seed = fields.eval = -1;
    fields.held_out = 16;
    fields.weight_bits = fields.format = fields.range = fields.group_size = -1;
    fields.act_type = BSQ_INPUT_TYPE_AUTO;
    fields.act_clip = BSQ_INPUT_CLIP_SQUARED_ERROR;
    fields.act_bits = fields.edge_bits = -1;
    fields.depthwise_bits = 8;
    fields.equalize = 1;
    fields.target_drop = -1;
    fields.act_percentile = 0.9999;
    fields.effort = -1;
    fields.one_file = 2047;
    fields.mu = 0.75;
    fields.bias_correction = 1;
    fields.damping = -1;
    fields.threads = static_cast<int32_t>(std::max(1u, std::thread::hardware_concurrency()));
    return fields;
}

std::vector<double> numbers(const char *option, const char *text)
{
    std::vector<double> list;
    std::istringstream stream(text_of(text));
    for (std::string part; std::getline(stream, part, ',');) {
        char *end;
        list.push_back(std::strtod(part.c_str(), &end));
        if (part.empty() || *end != '\0' || !(list.back() > -1e30 && list.back() < 1e30))
            throw UsageError(std::string("--") + option + " is numbers with commas between them, not '" + text + "'");
    }
    return list;
}

void read_size(const char *text, Preprocessing &preprocessing)
{
    if (text == nullptr)
        return;
    const std::string size = text;
    const size_t cross = size.find('x');
    int64_t height = 0, width = 0;
    const std::string first = size.substr(0, cross),
                      second = cross == std::string::npos ? first : size.substr(cross + 1);
    if (!argument_whole(first.c_str(), 1, 65536, &height) || !argument_whole(second.c_str(), 1, 65536, &width))
        throw UsageError("--size is N or HxW, not '" + size + "'");
    preprocessing.height = static_cast<int>(height);
    preprocessing.width = static_cast<int>(width);
}

void set_preprocessing(const Fields &fields, Preprocessing &preprocessing)
{
    if (fields.crop && fields.letterbox)
        throw UsageError("--crop and --letterbox exclude each other");
    read_size(fields.size, preprocessing);
    preprocessing.fit = fields.crop ? Fit::crop : fields.letterbox ? Fit::letterbox : Fit::stretch;
    preprocessing.shorter = fields.shorter;
    preprocessing.pad = fields.pad;
    preprocessing.bgr = fields.bgr != 0;
    preprocessing.mean = numbers("mean", fields.mean);
    preprocessing.deviation = numbers("std", fields.deviation);
    for (const double deviation : preprocessing.deviation)
        if (!(deviation > 0))
            throw UsageError("--std is numbers above 0, not '" + text_of(fields.deviation) + "'");
}

void set_options(const Fields &fields, bsq_options_t &options)
{
    bsq_options_init(&options, sizeof options);
    options.weight_bits = fields.weight_bits;
    options.weight_grid = fields.range;
    if (fields.effort >= 0)
        options.effort = fields.effort;
    options.threads = fields.threads;
    options.asymmetry = fields.mu;
    options.damping = fields.damping;
    options.bias_correction = fields.bias_correction;
    options.input_bits = fields.act_bits;
    options.input_type = fields.act_type;
    options.input_clip = fields.act_clip;
    options.input_percentile = fields.act_percentile;
}

std::vector<std::pair<std::string, std::string>> named_files(const char *option, const std::vector<std::string> &list)
{
    std::vector<std::pair<std::string, std::string>> files;
    for (const std::string &text : list) {
        const size_t equal = text.find('=');
        if (equal == std::string::npos || equal == 0 || !is_array(text))
            throw UsageError(std::string("--") + option + " is NAME=FILE.npy, not '" + text + "'");
        files.emplace_back(text.substr(0, equal), text.substr(equal + 1));
    }
    return files;
}

std::vector<MetricChoice> metric_choices(const std::vector<std::string> &list)
{
    static const std::pair<const char *, MetricKind> kinds_of_metrics[] = {{"error", MetricKind::error},
                                                                           {"cosine", MetricKind::cosine},
                                                                           {"tokens", MetricKind::tokens},
                                                                           {"top1", MetricKind::top1}};
    std::vector<MetricChoice> choices;
    for (const std::string &text : list) {
        const size_t equal = text.find('=');
        const auto *found = std::find_if(std::begin(kinds_of_metrics), std::end(kinds_of_metrics),
                                         [&](const auto &kind) { return text.substr(0, equal) == kind.first; });
        if (found == std::end(kinds_of_metrics))
            throw UsageError(
                "--metric is error, cosine, tokens or top1, with =OUTPUT behind it where there are several, "
                "not '" +
                text + "'");
        choices.push_back({found->second, equal == std::string::npos ? "" : text.substr(equal + 1)});
    }
    return choices;
}

// Bits up to 'most', or 16 where that is allowed, by name.
void set_bits_for(const char *option, const std::vector<std::string> &list, bool sixteen,
                  std::map<std::string, int> &bits_for)
{
    for (const std::string &text : list) {
        const size_t equal = text.rfind('=');
        int64_t bits = 0;
        const bool number =
            equal != std::string::npos && equal > 0 && argument_whole(text.c_str() + equal + 1, 2, 16, &bits);
        if (!number || (bits > 8 && !(sixteen && bits == 16)))
            throw UsageError(std::string("--") + option + "-for is NAME=B with B from 2 to 8" +
                             (sixteen ? ", or 16" : "") + ", not '" + text + "'");
        bits_for[text.substr(0, equal)] = static_cast<int>(bits);
    }
}

// What was not typed and depends on the format.
void fill_in(Fields &fields)
{
    if (fields.format < 0)
        fields.format = static_cast<int32_t>(fields.target_drop >= 0 ? Format::int4 : Format::qdq);
    const bool matrices = static_cast<Format>(fields.format) == Format::matmulnbits;
    const bool eight = static_cast<Format>(fields.format) == Format::qdq;
    const struct {
        int32_t *field, value;
    } defaults[] = {{&fields.weight_bits, eight ? 8 : 4},
                    {&fields.act_bits, matrices ? 0 : 8},
                    {&fields.edge_bits, matrices ? 0 : 8},
                    {&fields.range, matrices ? BSQ_WEIGHT_GRID_ZERO_POINT : BSQ_WEIGHT_GRID_FULL},
                    {&fields.group_size, matrices ? 32 : 0}};
    for (const auto &one : defaults)
        if (*one.field < 0)
            *one.field = one.value;
}

// What MatMulNBits does not have.
void check_matrices(const Fields &fields, const Settings &settings)
{
    if (settings.format != Format::matmulnbits) {
        if (fields.accuracy_level > 0)
            throw UsageError("--accuracy-level needs --format matmulnbits");
        return;
    }
    const auto has = [](int bits) { return bits == 2 || bits == 4 || bits == 8; };
    if (fields.act_bits > 0)
        throw UsageError("--act-bits needs another --format: MatMulNBits has float activations");
    if (settings.average_bits > 0)
        throw UsageError("--avg-bits needs another --format: MatMulNBits has 2, 4 or 8 bits");
    if (!has(fields.weight_bits) || (fields.edge_bits > 0 && !has(fields.edge_bits)))
        throw UsageError("--weight-bits and --edge-bits are 2, 4 or 8 with --format matmulnbits");
    for (const auto &entry : settings.bits_for)
        if (!has(entry.second))
            throw UsageError("--bits-for is NAME=B with B 2, 4 or 8 with --format matmulnbits");
    const int64_t group = settings.group_size;
    if (group < 16 || group > 256 || (group & (group - 1)) != 0)
        throw UsageError("--group-size is a power of two from 16 to 256 with --format matmulnbits");
}

// Groups and zero points of weights, and what chooses among 4 and 8 bits by the size of files.
void check_weights(const Fields &fields, const Settings &settings)
{
    const bool blocks = settings.format == Format::int4 || settings.format == Format::matmulnbits;
    if (!blocks && settings.format != Format::qdq_float && settings.group_size > 0)
        throw UsageError("--group-size needs --format int4, matmulnbits or float");
    if (settings.group_size > 0 && settings.group_size < 8)
        throw UsageError("--group-size is at least 8, or 0");
    if (!blocks && settings.format != Format::qdq_float && fields.range == BSQ_WEIGHT_GRID_ZERO_POINT)
        throw UsageError("--range zero-point needs --format int4, matmulnbits or float");
    if (settings.target_drop < 0)
        return;
    if (!blocks)
        throw UsageError("--target-drop needs --format int4 or matmulnbits: in others a weight takes as much at any "
                         "number of bits");
    if (settings.average_bits > 0)
        throw UsageError("--target-drop and --avg-bits exclude each other");
    if (fields.eval == 0)
        throw UsageError("--target-drop needs samples to evaluate on, and --eval is 0");
}

// What ONNX Runtime's integer operators do not have.
void check_integer_form(const Fields &fields, const Settings &settings)
{
    const bool integers = integer_form(settings);
    if (!settings.keep_float.empty() && !integers)
        throw UsageError("--keep-float needs --format qdq and --act-bits above 0");
    if (!integers)
        return;
    if (settings.per_channel)
        throw UsageError("--act-scale per-channel needs --format qdq-layers, float or int4");
    if (settings.share)
        throw UsageError("--act-share needs --format qdq-layers, float or int4: qdq shares quantizers by itself");
    if (fields.act_type == BSQ_INPUT_TYPE_SIGNED)
        throw UsageError("--act-type signed needs --format qdq-layers, float or int4: engines fuse unsigned codes");
}

void check(const Fields &fields, const Settings &settings)
{
    if (settings.model.empty())
        throw UsageError("the network is missing: bsq-onnx NETWORK.onnx --images DIR (--help lists the options)");
    if (settings.images.empty())
        throw UsageError("--images or --input is missing (--help lists the options)");
    if (!settings.token_ids.empty() &&
        std::none_of(settings.metrics.begin(), settings.metrics.end(),
                     [](const MetricChoice &choice) { return choice.kind == MetricKind::tokens; }))
        throw UsageError("--token-ids needs --metric tokens");
    const struct {
        const char *name;
        int32_t bits;
    } bits[] = {{"act", fields.act_bits}, {"edge", fields.edge_bits}, {"depthwise", fields.depthwise_bits}};
    for (const auto &option : bits)
        if (option.bits == 1)
            throw UsageError(std::string("--") + option.name + "-bits is 2 to 8, or 0, not '1'");
    if (fields.act_bits == 0 && (settings.per_channel || settings.share || fields.act_type != BSQ_INPUT_TYPE_AUTO))
        throw UsageError("--act-scale, --act-share and --act-type need --act-bits above 0");
    if (settings.calibrate_on_first && settings.calibration_seed >= 0)
        throw UsageError("--calib-first and --calib-seed exclude each other");
    check_integer_form(fields, settings);
    if (fields.onnxruntime != nullptr && settings.engine == EngineChoice::opencv)
        throw UsageError("--onnxruntime is for another engine than --engine opencv");
    check_matrices(fields, settings);
    check_weights(fields, settings);
    if (settings.resume.empty() && settings.output.empty() && settings.report.empty()) {
        if (!settings.evaluate)
            throw UsageError(
                "nothing would be written: neither -o nor --report is given (--evaluate: only say how good "
                "the network is)");
        if (fields.eval == 0)
            throw UsageError("nothing to do: neither -o nor --report, and --eval is 0");
    }
}

void take(const Fields &fields, Settings &settings)
{
    settings.images = {texts(fields.images), named_files("input", texts(fields.input))};
    settings.test = {texts(fields.test), named_files("test-input", texts(fields.test_input))};
    settings.row_mask = text_of(fields.row_mask);
    settings.batch = fields.batch;
    settings.metrics = metric_choices(texts(fields.metric));
    settings.token_ids = text_of(fields.token_ids);
    settings.labels = text_of(fields.labels);
    settings.output = text_of(fields.output);
    settings.report = text_of(fields.report);
    settings.resume = text_of(fields.resume);
    set_preprocessing(fields, settings.preprocessing);
    settings.calibration_samples = fields.calib;
    settings.held_out_samples = fields.held_out;
    settings.evaluation_samples = fields.eval;
    settings.memory = static_cast<int64_t>(fields.memory) << 20;
    settings.accuracy_level = fields.accuracy_level;
    settings.one_file_limit = static_cast<int64_t>(fields.one_file) << 20;
    set_options(fields, settings.options);
    settings.edge_bits = fields.edge_bits;
    settings.average_bits = fields.average_bits;
    settings.target_drop = fields.target_drop;
    settings.group_size = fields.group_size;
    settings.equalize = fields.equalize != 0;
    settings.per_channel = fields.act_scale == 1;
    settings.share = fields.act_share != 0;
    for (const std::string &name : texts(fields.skip))
        settings.skip.insert(name);
    for (const std::string &name : texts(fields.keep_float))
        settings.keep_float.insert(name);
    settings.float_head = fields.float_head != 0;
    set_bits_for("bits", texts(fields.bits_for), false, settings.bits_for);
    set_bits_for("act-bits", texts(fields.act_bits_for), true, settings.input_bits_for);
    settings.depthwise_bits = fields.depthwise_bits;
    settings.choose_effort = fields.effort < 0;
    settings.calibrate_on_first = fields.calib_first != 0;
    settings.calibration_seed = fields.calib_seed;
    settings.evaluate = fields.evaluate != 0;
    settings.format = static_cast<Format>(fields.format);
    settings.task = argument_choice_name(tasks, fields.task);
    settings.engine = static_cast<EngineChoice>(fields.engine);
    settings.onnxruntime = text_of(fields.onnxruntime);
    settings.json = fields.json != 0;
    settings.quiet = fields.quiet != 0;
    settings.help = fields.help != 0;
    settings.version = fields.version != 0;
}

} // namespace

bool integer_form(const Settings &settings)
{
    return settings.format == Format::qdq && settings.options.input_bits > 0;
}

Settings read_settings(int count, char **words)
{
    const Table table = join(samples_table, picture_table, preset_table, method_table, output_table);
    const std::vector<std::string> typed(words, words + count);
    const Words sorted = sort_words(typed, table);
    Settings settings;
    for (size_t i = 0; i < typed.size(); i++)
        settings.command += i > 0 ? " " + shell_word(typed[i]) : "bsq-onnx";

    std::vector<std::string> options = {"bsq-onnx"};
    options.insert(options.end(), sorted.preset.begin(), sorted.preset.end());
    options.insert(options.end(), sorted.options.begin(), sorted.options.end());
    std::vector<char *> pointers;
    for (std::string &word : options)
        pointers.push_back(word.data());
    std::vector<const char *> room(lists * (options.size() + 1));
    Fields fields = defaults(room);
    char message[ARGUMENTS_MESSAGE_SIZE];
    if (!arguments_read(table.data(), static_cast<int>(pointers.size()), pointers.data(), &fields, message))
        throw UsageError(message);

    if (sorted.networks.size() > 1)
        throw UsageError("one network at a time: no option takes '" + sorted.networks[1] + "' beside '" +
                         sorted.networks[0] + "'");
    settings.model = sorted.networks.empty() ? "" : sorted.networks[0];
    fill_in(fields);
    take(fields, settings);
    if (!settings.help && !settings.version)
        check(fields, settings);
    return settings;
}

void print_help()
{
    std::cout << "Usage: bsq-onnx NETWORK.onnx --images DIR|FILE.npy [options]\n"
                 "       bsq-onnx NETWORK.onnx --input NAME=FILE.npy ... [options]\n\n"
                 "Quantizes a trained network and says how good it is. Needs some of the pictures, or other samples, "
                 "that it is "
                 "made for.\n"
              << std::flush;
    const auto part = [](const char *title, const Table &table) {
        std::cout << "\n" << title << "\n" << std::flush;
        arguments_print(table.data());
        std::fflush(stdout);
    };
    part(
        "Samples: pictures, .npz files of all inputs, or .npy arrays: uint8 (samples, height, width, channels), or any "
        "numbers (samples, ...) as they are",
        join(samples_table));
    part("Pictures and uint8 arrays on their way into the network, as it was trained",
         join(picture_table, preset_table));
    part("Method", join(method_table));
    part("Results", join(output_table));
    std::cout << "\nExit status: 0 done, 1 failed, 2 wrong command line, 130 interrupted.\n" << std::flush;
}

static std::string number(double value)
{
    std::ostringstream text;
    text << value;
    return text.str();
}

static std::string list(const std::vector<double> &values)
{
    std::string text;
    for (const double value : values)
        text += (text.empty() ? "" : ",") + number(value);
    return text.empty() ? "none" : text;
}

std::vector<std::string> describe(const Settings &settings)
{
    const bsq_options_t &options = settings.options;
    const Preprocessing &pictures = settings.preprocessing;
    static const char *const fits[] = {"stretched", "cropped", "letterboxed"};
    std::vector<std::string> lines = {
        "weight bits " + std::to_string(options.weight_bits),
        "edge bits " + std::to_string(settings.edge_bits),
        "depthwise bits " + std::to_string(settings.depthwise_bits),
        "activation bits " + (options.input_bits ? std::to_string(options.input_bits) : "32 (float)"),
        std::string("code range ") + argument_choice_name(ranges, options.weight_grid),
        "effort " + std::to_string(options.effort),
        "mu " + number(options.asymmetry),
        "damping " + (options.damping < 0 ? "by rows" : number(options.damping)),
        std::string("bias correction ") + (options.bias_correction ? "on" : "off"),
    };
    if (options.input_bits > 0) {
        lines.push_back(std::string("activations quantized ") +
                        (integer_form(settings) ? "everywhere" : "before layers"));
        lines.push_back(std::string("activation scale ") + argument_choice_name(kinds, settings.per_channel));
        if (settings.share)
            lines.push_back("activation quantizers shared where Add or Concat join");
        lines.push_back(std::string("activation type ") + argument_choice_name(types, options.input_type));
        std::string clip = std::string("activation clip ") + argument_choice_name(clips, options.input_clip);
        if (options.input_clip == BSQ_INPUT_CLIP_PERCENTILE)
            clip += " " + number(options.input_percentile);
        lines.push_back(clip);
    }
    if (settings.group_size > 0)
        lines.push_back("weights that share a scale " + std::to_string(settings.group_size));
    if (options.input_bits > 0)
        lines.push_back(std::string("channels rescaled ") + (settings.equalize ? "where it helps" : "never"));
    if (settings.target_drop >= 0)
        lines.push_back("points to lose " + number(settings.target_drop));
    if (settings.average_bits > 0)
        lines.push_back("average bits " + number(settings.average_bits));
    for (const auto &entry : settings.bits_for)
        lines.push_back("bits for " + entry.first + " " + std::to_string(entry.second));
    for (const auto &entry : settings.input_bits_for)
        lines.push_back("activation bits for " + entry.first + " " + std::to_string(entry.second));
    for (const std::string &name : settings.skip)
        lines.push_back("skip " + name);
    for (const std::string &name : settings.keep_float)
        lines.push_back("keep float " + name);
    if (settings.float_head)
        lines.push_back("float head yes");
    if (settings.batch > 1)
        lines.push_back("samples at a time " + std::to_string(settings.batch));
    if (!settings.row_mask.empty())
        lines.push_back("rows that count, by input " + settings.row_mask);
    std::string fit = fits[static_cast<int>(pictures.fit)];
    if (pictures.fit == Fit::crop)
        fit += " from a shorter side of " + std::to_string(pictures.shorter);
    if (pictures.fit == Fit::letterbox)
        fit += " with a border of " + number(pictures.pad);
    lines.push_back("pictures " + fit + ", " + (pictures.bgr ? "BGR" : "RGB") + ", mean " + list(pictures.mean) +
                    ", std " + list(pictures.deviation));
    return lines;
}

} // namespace bsq_onnx
