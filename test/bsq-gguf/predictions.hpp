// What llama.cpp predicts at every position of samples.
#ifndef BSQ_TEST_PREDICTIONS_HPP
#define BSQ_TEST_PREDICTIONS_HPP

#include <string>
#include <vector>

#include "engine.hpp"
#include "text/samples.hpp"

namespace test {

struct Predictions {
    size_t vocabulary = 0;
    std::vector<float> logs; // (positions, vocabulary): logarithms of probabilities
};

Predictions predict(const Llama &llama, const std::string &path, const bsq_gguf::Samples &samples, int threads);
double mean_loss(const Predictions &predictions, const bsq_gguf::Samples &samples); // where the next token is known
double mean_divergence(const Predictions &from, const Predictions &to);             // nats a position
double same_top(const Predictions &a, const Predictions &b);

} // namespace test

#endif
