#include "model/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace bsq_gguf {

void parallel_for(int64_t count, int threads, const std::function<void(int64_t)> &work)
{
    std::atomic<int64_t> next{0};
    std::exception_ptr thrown;
    std::mutex mutex;
    const auto run = [&] {
        try {
            for (int64_t i = next++; i < count; i = next++)
                work(i);
        } catch (...) {
            const std::lock_guard<std::mutex> lock(mutex);
            if (!thrown)
                thrown = std::current_exception();
            next = count;
        }
    };
    std::vector<std::thread> others;
    for (int64_t i = 1; i < std::min<int64_t>(threads, count); i++) {
        try {
            others.emplace_back(run);
        } catch (const std::system_error &) {
            break; // those that there are do the work
        }
    }
    run();
    for (std::thread &thread : others)
        thread.join();
    if (thrown)
        std::rethrow_exception(thrown);
}

} // namespace bsq_gguf
