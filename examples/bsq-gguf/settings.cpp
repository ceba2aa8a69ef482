// The command line of bsq-gguf.
#include "settings.hpp"

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <thread>

#include "bsq.h"
#include "shared.hpp"

namespace bsq_gguf {

namespace {

// What the table of options fills; Settings is made of it.
struct Fields {
    struct argument_list text, eval, type_for;
    const char *tokens, *eval_tokens, *type, *output_type, *embedding_type, *output, *report, *resume, *compare;
    int32_t context, sequences, eval_sequences, effort, threads, memory;
    double average_bits, damping, mu;
    int32_t json, quiet, help, version;
};

#define AT(field) offsetof(Fields, field)

const struct argument samples_table[] = {
    {"text", ARGUMENT_LIST, "FILE", "text to calibrate on; may be given several times", AT(text), 0, 0, nullptr},
    {"tokens", ARGUMENT_TEXT, "FILE", "instead: token ids, little-endian int32", AT(tokens), 0, 0, nullptr},
    {"context", ARGUMENT_INTEGER, "N", "tokens of a sequence [512, or the model's context when that is less]",
     AT(context), 2, 1 << 20, nullptr},
    {"sequences", ARGUMENT_INTEGER, "N", "sequences to calibrate on, at most; 0: all [128]", AT(sequences), 0, INT_MAX,
     nullptr},
    {"eval", ARGUMENT_LIST, "FILE", "text to compare the models on, before and after; may be given several times",
     AT(eval), 0, 0, nullptr},
    {"eval-tokens", ARGUMENT_TEXT, "FILE", "instead: token ids, little-endian int32", AT(eval_tokens), 0, 0, nullptr},
    {"eval-sequences", ARGUMENT_INTEGER, "N", "sequences to compare on, at most; 0: all [0]", AT(eval_sequences), 0,
     INT_MAX, nullptr},
};

const struct argument types_table[] = {
    {"type", ARGUMENT_TEXT, "TYPE[,...]", "type of linear layers; with --avg-bits those that there is a choice of",
     AT(type), 0, 0, nullptr},
    {"avg-bits", ARGUMENT_NUMBER, "B", "choose each layer's type, so that weights have B bits on average",
     AT(average_bits), 1, 32, nullptr},
    {"type-for", ARGUMENT_LIST, "NAME=TYPE",
     "type of the matrices of that name, * is any characters; may be given several times, the last that fits counts",
     AT(type_for), 0, 0, nullptr},
    {"output-type", ARGUMENT_TEXT, "TYPE", "type of the output [as stored]", AT(output_type), 0, 0, nullptr},
    {"embedding-type", ARGUMENT_TEXT, "TYPE", "type of the embedding, solved by its weights alone [as stored]",
     AT(embedding_type), 0, 0, nullptr},
};

const struct argument method_table[] = {
    {"effort", ARGUMENT_INTEGER, "E", "0 (rounds) .. 9 (searches longest) [5]", AT(effort), 0, 9, nullptr},
    {"mu", ARGUMENT_NUMBER, "MU", "0: a layer's own outputs are wanted, 1: the float model's [0.5]", AT(mu), 0, 1,
     nullptr},
    {"damping", ARGUMENT_NUMBER, "D", "0..1, a share of the mean of diag H [chosen by the number of rows]", AT(damping),
     0, 1, nullptr},
    {"threads", ARGUMENT_INTEGER, "T", "1..1024 [as many as the machine has]", AT(threads), 1, 1024, nullptr},
    {"memory", ARGUMENT_INTEGER, "MB",
     "what the work may take; activations beyond go to a file, models that need more are refused [half of the "
     "machine's]",
     AT(memory), 1, INT_MAX, nullptr},
};

const struct argument output_table[] = {
    {"output", ARGUMENT_TEXT, "FILE", "or -o FILE: the quantized model", AT(output), 0, 0, nullptr},
    {"compare", ARGUMENT_TEXT, "FILE", "with --eval, instead of -o: a quantized model that is there already",
     AT(compare), 0, 0, nullptr},
    {"report", ARGUMENT_TEXT, "FILE", "a report as one HTML page", AT(report), 0, 0, nullptr},
    {"resume", ARGUMENT_TEXT, "DIR", "keep finished tensors there, go on with what is there", AT(resume), 0, 0,
     nullptr},
    {"json", ARGUMENT_FLAG, nullptr, "print the results as one JSON object", AT(json), 0, 0, nullptr},
    {"quiet", ARGUMENT_FLAG, nullptr, "no progress", AT(quiet), 0, 0, nullptr},
    {"help", ARGUMENT_FLAG, nullptr, "print this and stop", AT(help), 0, 0, nullptr},
    {"version", ARGUMENT_FLAG, nullptr, "print the version and stop", AT(version), 0, 0, nullptr},
};

const Type *read_type(const char *option, const std::string &name)
{
    const Type *type = type_of_name(name);
    if (type == nullptr)
        throw UsageError(std::string("--") + option + " is one of " + type_names() + ", not '" + name + "'");
    return type;
}

std::vector<const Type *> read_types(const std::string &list)
{
    std::vector<const Type *> types;
    std::istringstream stream(list);
    for (std::string part; std::getline(stream, part, ',');) {
        types.push_back(read_type("type", part));
        if (std::count(types.begin(), types.end(), types.back()) > 1)
            throw UsageError("--type names " + part + " twice");
    }
    return types;
}

Source read_source(const struct argument_list &list, const char *tokens, const char *text_name, const char *tokens_name)
{
    Source source{texts(list), text_of(tokens)};
    if (!source.texts.empty() && !source.tokens.empty())
        throw UsageError(std::string("--") + text_name + " and --" + tokens_name + " exclude each other");
    return source;
}

bool given(const Source &source)
{
    return !source.texts.empty() || !source.tokens.empty();
}

void check(const Settings &settings)
{
    if (settings.model.empty())
        throw UsageError("the model is missing: bsq-gguf MODEL.gguf --text FILE --type TYPE -o FILE (--help lists the "
                         "options)");
    if (!settings.quantizes()) {
        if (!given(settings.evaluation))
            throw UsageError("nothing to do: neither -o nor --eval");
        if (!settings.types.empty() || !settings.type_for.empty() || given(settings.calibration))
            throw UsageError("-o is missing: where the quantized model is to go");
        return;
    }
    if (!settings.compare.empty())
        throw UsageError("--compare and -o exclude each other");
    if (settings.types.empty())
        throw UsageError("--type is missing, one of " + type_names());
    if (!given(settings.calibration))
        throw UsageError("--text or --tokens is missing: what to calibrate on");
    if (settings.types.size() > 1 && settings.average_bits <= 0)
        throw UsageError("--type has several types, so --avg-bits is needed");
    if (settings.average_bits > 0 && settings.types.size() < 2)
        throw UsageError("--avg-bits needs a --type of several, like Q3_K,Q4_K,Q5_K,Q6_K");
    if (settings.average_bits > 0)
        for (const Type *type : settings.types)
            if (type->is_float())
                throw UsageError(std::string("--avg-bits does not choose ") + type->name);
}

void take(const Fields &fields, Settings &settings)
{
    settings.calibration = read_source(fields.text, fields.tokens, "text", "tokens");
    settings.evaluation = read_source(fields.eval, fields.eval_tokens, "eval", "eval-tokens");
    settings.context = fields.context;
    settings.sequences = fields.sequences;
    settings.evaluation_sequences = fields.eval_sequences;
    settings.types = read_types(text_of(fields.type));
    settings.average_bits = fields.average_bits;
    for (const std::string &text : texts(fields.type_for)) {
        const size_t equal = text.rfind('=');
        if (equal == std::string::npos || equal == 0)
            throw UsageError("--type-for is NAME=TYPE, not '" + text + "'");
        settings.type_for.emplace_back(text.substr(0, equal), read_type("type-for", text.substr(equal + 1)));
    }
    if (fields.output_type != nullptr)
        settings.output_type = read_type("output-type", fields.output_type);
    if (fields.embedding_type != nullptr)
        settings.embedding_type = read_type("embedding-type", fields.embedding_type);
    settings.effort = fields.effort;
    settings.threads = fields.threads;
    settings.damping = fields.damping;
    settings.mu = fields.mu;
    settings.memory = fields.memory > 0 ? static_cast<int64_t>(fields.memory) << 20 : machine_memory() / 2;
    settings.output = text_of(fields.output);
    settings.compare = text_of(fields.compare);
    settings.report = text_of(fields.report);
    settings.resume = text_of(fields.resume);
    settings.json = fields.json != 0;
    settings.quiet = fields.quiet != 0;
    settings.help = fields.help != 0;
    settings.version = fields.version != 0;
}

std::string number(double value)
{
    std::ostringstream text;
    text << value;
    return text.str();
}

} // namespace

bool fits(const std::string &pattern, const std::string &name)
{
    // Where the last * was, and how much of the name it has taken so far.
    size_t p = 0, n = 0, star = std::string::npos, taken = 0;
    while (n < name.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            taken = n;
        } else if (p < pattern.size() && pattern[p] == name[n]) {
            p++, n++;
        } else if (star != std::string::npos) {
            p = star + 1;
            n = ++taken;
        } else {
            return false;
        }
    }
    return pattern.find_first_not_of('*', p) == std::string::npos;
}

Settings read_settings(int count, char **words)
{
    const Table table = join(samples_table, types_table, method_table, output_table);
    Settings settings;
    std::vector<std::string> options = {"bsq-gguf"}, models;
    settings.command = "bsq-gguf";
    for (int i = 1; i < count; i++) {
        const std::string word = std::string(words[i]) == "-o" ? "--output" : words[i];
        settings.command += " " + shell_word(words[i]);
        if (word.compare(0, 1, "-") != 0) {
            models.push_back(word);
            continue;
        }
        options.push_back(word);
        if (takes_value(table, word) && i + 1 < count) {
            options.emplace_back(words[++i]);
            settings.command += " " + shell_word(words[i]);
        }
    }
    std::vector<char *> pointers;
    for (std::string &word : options)
        pointers.push_back(word.data());
    std::vector<const char *> room(3 * (options.size() + 1));
    Fields fields{};
    fields.text.text = &room[0];
    fields.eval.text = &room[options.size() + 1];
    fields.type_for.text = &room[2 * (options.size() + 1)];
    fields.sequences = 128;
    fields.effort = 5;
    fields.mu = 0.5;
    fields.damping = -1;
    fields.threads = static_cast<int32_t>(std::max(1u, std::thread::hardware_concurrency()));
    char message[ARGUMENTS_MESSAGE_SIZE];
    if (!arguments_read(table.data(), static_cast<int>(pointers.size()), pointers.data(), &fields, message))
        throw UsageError(message);
    if (models.size() > 1)
        throw UsageError("one model at a time: no option takes '" + models[1] + "' beside '" + models[0] + "'");
    settings.model = models.empty() ? "" : models[0];
    take(fields, settings);
    if (!settings.help && !settings.version)
        check(settings);
    return settings;
}

void print_help()
{
    std::cout << "Usage: bsq-gguf MODEL.gguf --text FILE --type TYPE -o FILE [options]\n"
                 "       bsq-gguf MODEL.gguf --eval FILE [--compare QUANTIZED.gguf]\n\n"
                 "Quantizes a language model of the llama architecture and says how good it is. Needs some text of the "
                 "kind\nthat it is made for.\n"
              << std::flush;
    const auto part = [](const char *title, const Table &table) {
        std::cout << "\n" << title << "\n" << std::flush;
        arguments_print(table.data());
        std::fflush(stdout);
    };
    part("Text", join(samples_table));
    part(("Types: " + type_names()).c_str(), join(types_table));
    part("Method", join(method_table));
    part("Results", join(output_table));
    std::cout << "\nExit status: 0 done, 1 failed, 2 wrong command line, 130 interrupted.\n" << std::flush;
}

std::vector<std::string> describe(const Settings &settings)
{
    std::string types;
    for (const Type *type : settings.types)
        types += (types.empty() ? "" : ",") + std::string(type->name);
    std::vector<std::string> lines = {"type " + types};
    if (settings.average_bits > 0)
        lines.push_back("average bits " + number(settings.average_bits));
    for (const auto &[pattern, type] : settings.type_for)
        lines.push_back("type for " + pattern + " " + type->name);
    lines.push_back(std::string("output type ") + (settings.output_type ? settings.output_type->name : "as stored"));
    lines.push_back(std::string("embedding type ") +
                    (settings.embedding_type ? settings.embedding_type->name : "as stored"));
    lines.push_back("effort " + std::to_string(settings.effort));
    lines.push_back("mu " + number(settings.mu));
    lines.push_back("damping " + (settings.damping < 0 ? "by rows" : number(settings.damping)));
    return lines;
}

} // namespace bsq_gguf
