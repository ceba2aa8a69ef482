#include "support.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <sstream>

#include <check.h>
#include <sys/stat.h>

#include "shared.hpp"
#include "text/tokenizer.hpp"

namespace test {

using bsq_gguf::Metadata;
using bsq_gguf::Planned;
using bsq_gguf::Type;
using bsq_gguf::ValueType;

namespace {

template <typename T> std::string array(uint32_t type, const std::vector<T> &values)
{
    std::string bytes(reinterpret_cast<const char *>(&type), sizeof type);
    const uint64_t count = values.size();
    bytes.append(reinterpret_cast<const char *>(&count), sizeof count);
    bytes.append(reinterpret_cast<const char *>(values.data()), values.size() * sizeof(T));
    return bytes;
}

void set_flag(Metadata &metadata, const std::string &key, bool value)
{
    metadata.set(key, ValueType::boolean, std::string(1, value ? '\1' : '\0'));
}

void set_tokens(Metadata &metadata, const std::string &model, const std::vector<std::string> &tokens,
                const std::vector<float> &scores, const std::vector<int32_t> &types)
{
    metadata.set("tokenizer.ggml.model", model);
    set_texts(metadata, "tokenizer.ggml.tokens", tokens);
    if (!scores.empty())
        metadata.set("tokenizer.ggml.scores", ValueType::array, array(6, scores));
    metadata.set("tokenizer.ggml.token_type", ValueType::array, array(5, types));
    metadata.set("tokenizer.ggml.bos_token_id", uint32_t{1});
    metadata.set("tokenizer.ggml.eos_token_id", uint32_t{2});
}

std::vector<std::string> byte_tokens()
{
    std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
    for (int byte = 0; byte < 256; byte++) {
        char name[8];
        std::snprintf(name, sizeof name, "<0x%02X>", byte);
        tokens.emplace_back(name);
    }
    return tokens;
}

Metadata describe(const ModelSpec &spec)
{
    Metadata metadata;
    const auto key = [&](const char *name) { return spec.architecture + "." + name; };
    const auto whole = [](int64_t value) { return static_cast<uint32_t>(value); };
    metadata.set("general.architecture", spec.architecture);
    metadata.set("general.name", std::string("made up"));
    metadata.set(key("context_length"), whole(spec.context));
    metadata.set(key("embedding_length"), whole(spec.width));
    metadata.set(key("block_count"), whole(spec.blocks));
    metadata.set(key("feed_forward_length"), whole(spec.hidden));
    metadata.set(key("attention.head_count"), whole(spec.heads));
    metadata.set(key("attention.head_count_kv"), whole(spec.value_heads));
    metadata.set(key("attention.layer_norm_rms_epsilon"), 1e-5f);
    metadata.set(key("rope.freq_base"), 500.0f);
    metadata.set(key("vocab_size"), whole(spec.vocabulary));
    if (spec.head_size > 0) {
        metadata.set(key("attention.key_length"), whole(spec.head_size));
        metadata.set(key("attention.value_length"), whole(spec.head_size));
        metadata.set(key("rope.dimension_count"), whole(spec.head_size));
    } else {
        metadata.set(key("rope.dimension_count"), whole(spec.width / spec.heads));
    }
    std::vector<std::string> tokens = byte_tokens();
    for (size_t i = tokens.size(); i < static_cast<size_t>(spec.vocabulary); i++)
        tokens.push_back("<extra" + std::to_string(i) + ">");
    tokens.resize(static_cast<size_t>(spec.vocabulary));
    std::vector<int32_t> types(tokens.size(), 6);
    types[0] = 2, types[1] = types[2] = 3;
    std::fill(types.begin() + std::min<std::ptrdiff_t>(259, spec.vocabulary), types.end(), 5);
    set_tokens(metadata, "llama", tokens, std::vector<float>(tokens.size(), 0.0f), types);
    set_flag(metadata, "tokenizer.ggml.add_space_prefix", false);
    set_flag(metadata, "tokenizer.ggml.add_bos_token", false);
    if (spec.more)
        spec.more(metadata);
    return metadata;
}

struct Content {
    Planned tensor;
    float mean, deviation;
};

std::vector<Content> contents(const ModelSpec &spec)
{
    const Type *floats = bsq_gguf::type_of_name("F32"), *type = bsq_gguf::type_of_name(spec.type);
    const int64_t size = spec.head_size > 0 ? spec.head_size : spec.width / spec.heads;
    std::vector<Content> list;
    const auto matrix = [&](const std::string &name, int64_t rows, int64_t columns, bool linear = true) {
        list.push_back({{name + ".weight", {columns, rows}, type},
                        0.0f,
                        linear ? 1 / std::sqrt(static_cast<float>(columns)) : 1.0f});
        // Qwen2 has biases of queries, keys and values alone.
        const bool is_input = name.find("attn_") != std::string::npos && name.find("output") == std::string::npos;
        if (linear && spec.biases && (spec.architecture != "qwen2" || is_input))
            list.push_back({{name + ".bias", {rows}, floats}, 0.0f, 0.3f});
    };
    const auto norm = [&](const std::string &name) {
        list.push_back({{name + ".weight", {spec.width}, floats}, 1.0f, 0.3f});
    };
    matrix("token_embd", spec.vocabulary, spec.width, false);
    for (int64_t b = 0; b < spec.blocks; b++) {
        const std::string prefix = "blk." + std::to_string(b) + ".";
        norm(prefix + "attn_norm");
        matrix(prefix + "attn_q", spec.heads * size, spec.width);
        matrix(prefix + "attn_k", spec.value_heads * size, spec.width);
        matrix(prefix + "attn_v", spec.value_heads * size, spec.width);
        matrix(prefix + "attn_output", spec.width, spec.heads * size);
        norm(prefix + "ffn_norm");
        matrix(prefix + "ffn_gate", spec.hidden, spec.width);
        matrix(prefix + "ffn_up", spec.hidden, spec.width);
        matrix(prefix + "ffn_down", spec.width, spec.hidden);
    }
    norm("output_norm");
    if (!spec.tied)
        list.push_back({{"output.weight", {spec.width, spec.vocabulary}, type},
                        0.0f,
                        2 / std::sqrt(static_cast<float>(spec.width))});
    if (spec.rotary_factors)
        list.push_back({{"rope_freqs.weight", {size / 2}, floats}, 3.0f, 0.4f});
    return list;
}

} // namespace

void set_texts(Metadata &metadata, const std::string &key, const std::vector<std::string> &texts)
{
    const uint32_t type = 8;
    const uint64_t count = texts.size();
    std::string bytes(reinterpret_cast<const char *>(&type), sizeof type);
    bytes.append(reinterpret_cast<const char *>(&count), sizeof count);
    for (const std::string &text : texts) {
        const uint64_t size = text.size();
        bytes.append(reinterpret_cast<const char *>(&size), sizeof size);
        bytes += text;
    }
    metadata.set(key, ValueType::array, bytes);
}

void write_model(const ModelSpec &spec, const std::string &path)
{
    const std::vector<Content> list = contents(spec);
    std::vector<Planned> tensors;
    for (const Content &content : list)
        tensors.push_back(content.tensor);
    bsq_gguf::Writer writer(path, describe(spec), tensors, 32);
    std::mt19937 random(spec.seed);
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < list.size(); i++) {
        size_t count = 1;
        for (const int64_t extent : list[i].tensor.extents)
            count *= static_cast<size_t>(extent);
        std::vector<float> values(count);
        for (float &value : values)
            value = list[i].mean + list[i].deviation * normal(random);
        const std::vector<unsigned char> bytes = bsq_gguf::to_floats(*list[i].tensor.type, values.data(), count);
        writer.write(i, bytes.data(), bytes.size());
    }
    writer.publish();
}

std::string make_model(const ModelSpec &spec, const std::string &name)
{
    const std::string path = file(name);
    write_model(spec, path);
    return path;
}

// The most frequent pair of neighbours becomes a token, again and again.
void add_byte_pairs(Metadata &metadata, const std::string &pre, const std::string &text, int64_t vocabulary)
{
    std::vector<std::string> tokens, characters;
    for (unsigned byte = 0, next = 0x100; byte < 256; byte++) {
        const bool prints = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        const unsigned point = prints ? byte : next++;
        std::string character;
        if (point < 0x80)
            character += static_cast<char>(point);
        else
            character = {static_cast<char>(0xc0 | point >> 6), static_cast<char>(0x80 | (point & 0x3f))};
        characters.push_back(character);
    }
    tokens = characters;
    const bsq_gguf::Cut cut = pre == "qwen2"    ? bsq_gguf::Cut::qwen2
                              : pre == "smollm" ? bsq_gguf::Cut::smollm
                              : pre == "gpt-2"  ? bsq_gguf::Cut::gpt2
                                                : bsq_gguf::Cut::llama3;
    std::vector<std::vector<std::string>> words;
    for (const std::string &raw : bsq_gguf::cut_text(cut, text)) {
        std::vector<std::string> word;
        for (const char c : raw)
            word.push_back(characters[static_cast<unsigned char>(c)]);
        words.push_back(word);
    }
    std::vector<std::string> merges;
    while (static_cast<int64_t>(tokens.size()) + 1 < vocabulary) {
        std::map<std::pair<std::string, std::string>, int> counts;
        for (const auto &word : words)
            for (size_t i = 1; i < word.size(); i++)
                counts[{word[i - 1], word[i]}]++;
        if (counts.empty())
            break;
        const auto best = std::max_element(counts.begin(), counts.end(), [](const auto &a, const auto &b) {
                              return a.second < b.second;
                          })->first;
        merges.push_back(best.first + " " + best.second);
        tokens.push_back(best.first + best.second);
        for (auto &word : words)
            for (size_t i = 1; i < word.size(); i++)
                if (word[i - 1] == best.first && word[i] == best.second) {
                    word[i - 1] += word[i];
                    word.erase(word.begin() + static_cast<std::ptrdiff_t>(i));
                }
    }
    while (static_cast<int64_t>(tokens.size()) + 1 < vocabulary)
        tokens.push_back("<extra" + std::to_string(tokens.size()) + ">");
    tokens.push_back("<|mine|>");
    std::vector<int32_t> types(tokens.size(), 1);
    types.back() = 4;
    set_tokens(metadata, "gpt2", tokens, {}, types);
    metadata.set("tokenizer.ggml.pre", pre);
    set_texts(metadata, "tokenizer.ggml.merges", merges);
    set_flag(metadata, "tokenizer.ggml.add_space_prefix", false);
    set_flag(metadata, "tokenizer.ggml.add_bos_token", false);
}

// Pieces of up to six characters that occur often, longer ones better.
void add_pieces(Metadata &metadata, const std::string &text, int64_t vocabulary)
{
    std::string escaped;
    for (const char c : text)
        escaped += c == ' ' ? "\u2581" : std::string(1, c);
    std::vector<std::string> characters;
    for (size_t at = 0; at < escaped.size();) {
        const auto first = static_cast<unsigned char>(escaped[at]);
        const size_t size = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
        characters.push_back(escaped.substr(at, size));
        at += size;
    }
    std::map<std::string, int> counts;
    for (size_t i = 0; i < characters.size(); i++) {
        std::string piece;
        for (size_t k = i; k < std::min(i + 6, characters.size()) && characters[k] != "\n"; k++)
            counts[piece += characters[k]]++;
    }
    std::vector<std::pair<int, std::string>> ranked;
    for (const auto &[piece, count] : counts)
        if (static_cast<unsigned char>(piece[0]) != 0x80)
            ranked.emplace_back(count, piece);
    std::sort(ranked.rbegin(), ranked.rend());
    std::vector<std::string> tokens = byte_tokens();
    std::vector<float> scores(tokens.size(), 0.0f);
    std::vector<int32_t> types(tokens.size(), 6);
    types[0] = 2, types[1] = types[2] = 3;
    for (const auto &[count, piece] : ranked) {
        if (static_cast<int64_t>(tokens.size()) + 1 >= vocabulary)
            break;
        scores.push_back(-static_cast<float>(tokens.size()) / 7);
        tokens.push_back(piece);
        types.push_back(1);
    }
    while (static_cast<int64_t>(tokens.size()) < vocabulary) {
        tokens.push_back("<mine" + std::to_string(tokens.size()) + ">");
        scores.push_back(0.0f);
        types.push_back(4);
    }
    set_tokens(metadata, "llama", tokens, scores, types);
    metadata.set("tokenizer.ggml.unknown_token_id", uint32_t{0});
    set_flag(metadata, "tokenizer.ggml.add_space_prefix", true);
    set_flag(metadata, "tokenizer.ggml.add_bos_token", true);
}

std::string file(const std::string &name)
{
    const char *build = std::getenv("BUILD");
    const std::string folder = std::string(build != nullptr ? build : "build") + "/test/bsq-gguf/files";
    mkdir(folder.c_str(), 0777);
    return folder + "/" + name;
}

void write_bytes(const std::string &path, const std::string &bytes)
{
    std::ofstream stream(path, std::ios::binary);
    stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    ck_assert(stream.good());
}

std::string read_bytes(const std::string &path)
{
    std::ostringstream bytes;
    bytes << std::ifstream(path, std::ios::binary).rdbuf();
    return bytes.str();
}

std::string mixed_text()
{
    return "It's a page of mixed text; they'LL say WE'VE seen 12345 of 7 kinds, I'd bet.\n"
           "\n\n  Two  spaces,\ttabs\t\tand trailing blanks   \r\n"
           "\u00dcber die Br\u00fccke fuhr ein gro\u00dfes Auto, 99\u20ac teuer.\n"
           "\u0412\u0441\u0435 \u0441\u0447\u0430\u0441\u0442\u043b\u0438\u0432\u044b\u0435 "
           "\u0441\u0435\u043c\u044c\u0438. "
           "\u4f60\u597d\uff0c\u4e16\u754c\uff01 \u3053\u3093\u306b\u3061\u306f "
           "\u0645\u0631\u062d\u0628\u0627 \u0939\u093f\u0928\u094d\u0926\u0940 \ud55c\uad6d\uc5b4\n"
           "for (int i = 0; i < 10; i++) { x[i] += 0x1F'000 * y->z; } // done!!! ???\n"
           "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 e\u0301 \u00a0\u2003x \u0661\u0662\u0663 \u00bd "
           "\u2167\n"
           "<|mine|> <mine300> user@example.org https://a.b/c?d=e&f=%20 'S 't 're\n"
           "....    ....\n   \n x\xff\xfe\xc3( \xe2\x82 end";
}

void expect_error(const std::string &text, const std::function<void()> &work)
{
    try {
        work();
    } catch (const bsq_gguf::Error &error) {
        ck_assert_msg(std::strstr(error.what(), text.c_str()) != nullptr, "'%s' has no '%s'", error.what(),
                      text.c_str());
        ck_assert_msg(std::strchr(error.what(), '\n') == nullptr, "'%s' has more than one line", error.what());
        return;
    }
    ck_abort_msg("no error with '%s'", text.c_str());
}

} // namespace test
