#include "engine.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include <dlfcn.h>

namespace test {

namespace {

// Parameter structs go by value. What matters of them is set at these words, after the defaults there have been seen; the rest
// is room for what the release has.
struct Parameters {
    int32_t words[64];
};

enum {
    context_tokens = 0,
    context_batch = 1,
    context_physical_batch = 2,
    context_threads = 7,
    context_batch_threads = 8
};

void quiet(int, const char *, void *) {}

// llama_batch, which has been the same for long.
struct Batch {
    int32_t count;
    int32_t *tokens;
    float *embeddings;
    int32_t *positions;
    int32_t *sequence_counts;
    int32_t **sequences;
    int8_t *outputs;
};

// The functions that a type has, by ggml_get_type_traits.
struct TypeTraits {
    const char *name;
    int64_t block, block_interleaved;
    size_t bytes;
    bool quantized;
    void (*to_float)(const void *blocks, float *values, int64_t count);
};

} // namespace

Llama::Llama(const std::string &folder)
{
    std::error_code code;
    std::vector<std::string> names;
    for (const auto &entry : std::filesystem::directory_iterator(folder, code))
        names.push_back(entry.path().filename());
    // In the order in which they need each other.
    for (const char *prefix : {"libggml-base.", "libggml.", "libllama."}) {
        const auto name = std::find_if(names.begin(), names.end(), [&](const std::string &each) {
            return each.compare(0, std::strlen(prefix), prefix) == 0;
        });
        if (name == names.end())
            throw std::runtime_error(folder + ": has no " + prefix + "so");
        void *library = dlopen((folder + "/" + *name).c_str(), RTLD_NOW | RTLD_GLOBAL);
        if (library == nullptr)
            throw std::runtime_error(dlerror());
        libraries_.push_back(library);
    }
    call<void(void (*)(int, const char *, void *), void *)>("llama_log_set")(quiet, nullptr);
    call<void(const char *)>("ggml_backend_load_all_from_path")(folder.c_str());
    call<void()>("llama_backend_init")();
}

Llama::~Llama()
{
    call<void()>("llama_backend_free")();
}

void *Llama::find(const char *name) const
{
    for (void *library : libraries_)
        if (void *found = dlsym(library, name))
            return found;
    throw std::runtime_error(std::string("llama.cpp has no ") + name);
}

std::vector<unsigned char> Llama::quantize(uint32_t type, const std::vector<float> &weights, int64_t columns,
                                           const std::vector<float> *importance) const
{
    const int64_t rows = static_cast<int64_t>(weights.size()) / columns;
    const size_t row = call<size_t(uint32_t, int64_t)>("ggml_row_size")(type, columns);
    std::vector<unsigned char> blocks(row * static_cast<size_t>(rows));
    const size_t size = call<size_t(uint32_t, const float *, void *, int64_t, int64_t, int64_t, const float *)>(
        "ggml_quantize_chunk")(type, weights.data(), blocks.data(), 0, rows, columns,
                               importance != nullptr ? importance->data() : nullptr);
    if (size != blocks.size())
        throw std::runtime_error("ggml_quantize_chunk wrote another size");
    return blocks;
}

std::vector<float> Llama::dequantize(uint32_t type, const std::vector<unsigned char> &blocks, size_t count) const
{
    const TypeTraits *traits = call<const TypeTraits *(uint32_t)>("ggml_get_type_traits")(type);
    std::vector<float> values(count);
    traits->to_float(blocks.data(), values.data(), static_cast<int64_t>(count));
    return values;
}

std::unique_ptr<Llama::Model> Llama::load(const std::string &path, uint32_t context, int32_t threads) const
{
    return std::unique_ptr<Model>(new Model(*this, path, context, threads, context == 0));
}

Llama::Model::Model(const Llama &llama, const std::string &path, uint32_t context, int32_t threads,
                    bool vocabulary_only)
    : llama_(llama)
{
    const auto parameters = llama.call<Parameters()>("llama_model_default_params")();
    model_ = llama.call<void *(const char *, Parameters)>("llama_model_load_from_file")(path.c_str(), parameters);
    if (model_ == nullptr)
        throw std::runtime_error(path + ": llama.cpp does not load it");
    if (vocabulary_only)
        return;
    auto own = llama.call<Parameters()>("llama_context_default_params")();
    int32_t *w = own.words;
    if (w[context_tokens] != 512 || w[context_batch] != 2048 || w[context_physical_batch] != 512 ||
        w[context_threads] != 4 || w[context_batch_threads] != 4)
        throw std::runtime_error("llama.cpp is of a release whose parameters are not known here");
    w[context_tokens] = w[context_batch] = w[context_physical_batch] = static_cast<int32_t>(context);
    w[context_threads] = w[context_batch_threads] = threads;
    context_ = llama.call<void *(void *, Parameters)>("llama_init_from_model")(model_, own);
    if (context_ == nullptr) {
        llama.call<void(void *)>("llama_model_free")(model_);
        throw std::runtime_error(path + ": llama.cpp makes no context of it");
    }
}

Llama::Model::~Model()
{
    if (context_ != nullptr)
        llama_.call<void(void *)>("llama_free")(context_);
    llama_.call<void(void *)>("llama_model_free")(model_);
}

int32_t Llama::Model::vocabulary() const
{
    const void *vocabulary = llama_.call<const void *(const void *)>("llama_model_get_vocab")(model_);
    return llama_.call<int32_t(const void *)>("llama_vocab_n_tokens")(vocabulary);
}

std::vector<float> Llama::Model::logits(const std::vector<int32_t> &tokens)
{
    const auto count = static_cast<int32_t>(tokens.size());
    llama_.call<void(void *, bool)>("llama_memory_clear")(llama_.call<void *(void *)>("llama_get_memory")(context_),
                                                          true);
    auto batch = llama_.call<Batch(int32_t, int32_t, int32_t)>("llama_batch_init")(count, 0, 1);
    batch.count = count;
    for (int32_t i = 0; i < count; i++) {
        batch.tokens[i] = tokens[static_cast<size_t>(i)];
        batch.positions[i] = i;
        batch.sequence_counts[i] = 1;
        batch.sequences[i][0] = 0;
        batch.outputs[i] = 1;
    }
    const int32_t status = llama_.call<int32_t(void *, Batch)>("llama_decode")(context_, batch);
    llama_.call<void(Batch)>("llama_batch_free")(batch);
    if (status != 0)
        throw std::runtime_error("llama_decode: " + std::to_string(status));
    const auto width = static_cast<size_t>(vocabulary());
    const float *all = llama_.call<const float *(void *)>("llama_get_logits")(context_);
    return std::vector<float>(all, all + tokens.size() * width);
}

std::vector<int32_t> Llama::Model::tokenize(const std::string &text, bool begin) const
{
    const void *vocabulary = llama_.call<const void *(const void *)>("llama_model_get_vocab")(model_);
    std::vector<int32_t> tokens(4 * text.size() + 8);
    const int32_t count = llama_.call<int32_t(const void *, const char *, int32_t, int32_t *, int32_t, bool, bool)>(
        "llama_tokenize")(vocabulary, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                          static_cast<int32_t>(tokens.size()), begin, false);
    if (count < 0)
        throw std::runtime_error("llama_tokenize: " + std::to_string(count));
    tokens.resize(static_cast<size_t>(count));
    return tokens;
}

} // namespace test
