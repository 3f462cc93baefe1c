// Memory that is kept between calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace {

class Arena {  // hands out pieces of one block, 64 bytes aligned; first pass without it: counts
public:
    explicit Arena(char* start) : start_(start), next_(0) {}
    template <class T> T* take(int64_t count) {
        T* piece = start_ ? reinterpret_cast<T*>(start_ + next_) : nullptr;
        next_ += (size_t(count) * sizeof(T) + 127) / 64 * 64;
        return piece;
    }
    size_t used() const { return next_; }

private:
    char* start_;
    size_t next_;
};

struct Block {  // grows and is kept between calls: new pages cost more than the arithmetic
    char* data = nullptr;
    size_t size = 0;
    char* at_least(size_t bytes) {
        if (bytes > size) {
            std::free(data);
            size = 0;
            bytes = (bytes + 4095) / 4096 * 4096;
            data = static_cast<char*>(std::aligned_alloc(4096, bytes));
            if (!data) throw std::bad_alloc();
            size = bytes;
        }
        return data;
    }
    ~Block() { std::free(data); }
};

int64_t padded(int64_t width) { return (width + 31) / 32 * 32; }

}  // namespace
