// llama.cpp as it comes from npm: its shared libraries, by their C functions, without headers.
#ifndef BSQ_TEST_ENGINE_HPP
#define BSQ_TEST_ENGINE_HPP

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace test {

class Llama {
public:
    // 'folder' is where the package's lib*.so are. Throws std::runtime_error when they are not there, or not those of the
    // release that this is written for.
    explicit Llama(const std::string &folder);
    ~Llama();

    // ggml_quantize_chunk: rows of 'columns' values, 'importance' (columns) or NULL; and the weights that the blocks stand
    // for, by the engine's own code.
    std::vector<unsigned char> quantize(uint32_t type, const std::vector<float> &weights, int64_t columns,
                                        const std::vector<float> *importance) const;
    std::vector<float> dequantize(uint32_t type, const std::vector<unsigned char> &blocks, size_t count) const;

    // A model that is loaded, with a context of so many tokens.
    class Model {
    public:
        ~Model();
        int32_t vocabulary() const;
        // Logits of all positions: (tokens, vocabulary).
        std::vector<float> logits(const std::vector<int32_t> &tokens);
        std::vector<int32_t> tokenize(const std::string &text, bool begin) const;

    private:
        friend class Llama;
        Model(const Llama &llama, const std::string &path, uint32_t context, int32_t threads, bool vocabulary_only);
        const Llama &llama_;
        void *model_ = nullptr, *context_ = nullptr;
    };
    // Throws std::runtime_error when the engine refuses the file. 'context' 0: the vocabulary alone.
    std::unique_ptr<Model> load(const std::string &path, uint32_t context, int32_t threads) const;

private:
    void *find(const char *name) const;
    template <typename F> F *call(const char *name) const { return reinterpret_cast<F *>(find(name)); }
    std::vector<void *> libraries_;
};

} // namespace test

#endif
