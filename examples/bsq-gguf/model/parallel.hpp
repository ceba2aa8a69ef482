// Work on several threads.
#ifndef BSQ_GGUF_PARALLEL_HPP
#define BSQ_GGUF_PARALLEL_HPP

#include <cstdint>
#include <functional>

namespace bsq_gguf {

// Runs work(0) .. work(count - 1), in any order, on so many threads; throws what the first of them threw.
void parallel_for(int64_t count, int threads, const std::function<void(int64_t)> &work);

} // namespace bsq_gguf

#endif
