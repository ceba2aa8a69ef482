// Samples in parallel: each runs the same way on one thread, so that results do not depend on how many there are.
#ifndef BSQ_ONNX_PARALLEL_HPP
#define BSQ_ONNX_PARALLEL_HPP

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

namespace bsq_onnx {

// How many workers there are for so many samples.
inline int workers(int threads, int64_t samples)
{
    return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, samples)));
}

// Calls work(worker, i) for each i in first..last - 1, worker 0 on the calling thread. What one of them throws is thrown
// here, when all have ended; others then stop after the sample at hand.
template <typename Work> void for_samples(int count, int64_t first, int64_t last, const Work &work)
{
    std::vector<std::exception_ptr> thrown(static_cast<size_t>(count));
    std::atomic<bool> stop{false};
    const auto part = [&](int worker) {
        try {
            for (int64_t i = first + worker; i < last && !stop; i += count)
                work(worker, i);
        } catch (...) {
            thrown[static_cast<size_t>(worker)] = std::current_exception();
            stop = true;
        }
    };
    std::vector<std::thread> threads;
    for (int worker = 1; worker < count; worker++)
        threads.emplace_back(part, worker);
    part(0);
    for (std::thread &thread : threads)
        thread.join();
    for (const std::exception_ptr &exception : thrown)
        if (exception)
            std::rethrow_exception(exception);
}

} // namespace bsq_onnx

#endif
