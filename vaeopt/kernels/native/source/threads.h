// Threads of one call.
#pragma once

#include <cstdint>
#include <exception>
#include <future>
#include <thread>
#include <vector>

namespace {

// Calls work(0) here and work(1) to work(count - 1) in threads of their own: none of them where the
// system cannot start all, because they wait for each other.
template <class Work> void together(int64_t count, const Work& work) {
    std::promise<bool> complete;
    const std::shared_future<bool> starts = complete.get_future().share();
    std::vector<std::thread> helpers;
    std::exception_ptr failure;
    try {
        for (int64_t i = 1; i < count; ++i)
            helpers.emplace_back([starts, &work, i] {
                if (starts.get()) work(i);
            });
    } catch (...) {
        failure = std::current_exception();
    }
    complete.set_value(!failure);
    if (!failure) work(0);
    for (auto& helper : helpers) helper.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace
