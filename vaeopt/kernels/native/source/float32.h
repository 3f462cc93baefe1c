// Products in float32.
#pragma once

#include <cstring>
#include <vector>

#include "memory.h"
#include "vectors.h"

namespace {

// C (rows, columns) = or += A B; element (i, k) of A lies at a[i * row_step + k * column_step].
template <bool ADD>
inline void product(float* c, int64_t ldc, const float* a, int64_t row_step, int64_t column_step,
                    const float* b, int64_t ldb, int64_t rows, int64_t columns, int64_t inner) {
#if defined(__AVX__) && !defined(__AVX512F__)
    constexpr int MR = 4, NV = 2;  // 16 registers
#else
    constexpr int MR = 8, NV = 2;
#endif
    for (int64_t j = 0; j < columns; j += NV * LANES)
        for (int64_t i = 0; i < rows; i += MR) {
            Vec acc[MR][NV];
            for (int m = 0; m < MR; ++m)
                for (int v = 0; v < NV; ++v)
                    acc[m][v] = ADD ? at(c + (i + m) * ldc + j + v * LANES) : Vec{};
            const float *pa = a + i * row_step, *pb = b + j;
            for (int64_t k = 0; k < inner; ++k, pa += column_step, pb += ldb) {
                Vec row[NV];
                for (int v = 0; v < NV; ++v) row[v] = at(pb + v * LANES);
#pragma GCC unroll 8
                for (int m = 0; m < MR; ++m) {
                    const Vec value = splat(pa[m * row_step]);
#pragma GCC unroll 2
                    for (int v = 0; v < NV; ++v) acc[m][v] += value * row[v];
                }
            }
            for (int m = 0; m < MR; ++m)
                for (int v = 0; v < NV; ++v) at(c + (i + m) * ldc + j + v * LANES) = acc[m][v];
        }
}

// What an engine offers: hidden values and slopes of row pairs in its own number format, and the
// three products per layer. Layers count from 0; values[l] goes into layer l, slopes[l] is the
// slope of the loss by what comes out of it before the tanh.
class Float32 {
public:
    static constexpr int64_t TILE = 2 * STRIP;
    static constexpr bool ROUNDS = false;

    struct Weights {
        float *plain, *transposed;
    };
    static Weights pack(Arena& arena, const float* w, int64_t width) {
        const int64_t wide = padded(width), ld = wide + PAD;
        Weights out{arena.take<float>(wide * ld), arena.take<float>(wide * ld)};
        if (!out.plain) return out;
        std::memset(out.plain, 0, size_t(wide * ld) * 4);
        std::memset(out.transposed, 0, size_t(wide * ld) * 4);
        for (int64_t j = 0; j < width; ++j)
            for (int64_t k = 0; k < width; ++k) {
                out.plain[j * ld + k] = w[j * width + k];
                out.transposed[k * ld + j] = w[j * width + k];
            }
        return out;
    }

    Float32(Arena& arena, int64_t width, int64_t depth) : wide_(padded(width)), ld_(wide_ + PAD) {
        for (int64_t l = 0; l < depth; ++l) {
            values_.push_back(arena.take<float>(TILE * ld_));
            slopes_.push_back(arena.take<float>(TILE * ld_));
        }
    }
    void begin() {}
    void end() {}
    void strip(int64_t row) { first_ = row; }
    static Vec tanh(Vec x) { return tanh_exact(x); }
    void put_value(int64_t l, int64_t row, int64_t j, Vec x, Vec y) {
        float* p = values_[l] + (first_ + row) * ld_ + j;
        at(p) = x;
        at(p + ld_) = y;
    }
    void get_value(int64_t l, int64_t row, int64_t j, Vec& x, Vec& y) const {
        const float* p = values_[l] + (first_ + row) * ld_ + j;
        x = at(p);
        y = at(p + ld_);
    }
    void put_slope(int64_t l, int64_t row, int64_t j, Vec x, Vec y) {
        float* p = slopes_[l] + (first_ + row) * ld_ + j;
        at(p) = x;
        at(p + ld_) = y;
    }
    void slopes_done(int64_t) {}
    template <class Finish>
    void forward(int64_t l, const Weights& w, float* c, Finish finish) {
        product<false>(c, ld_, values_[l] + first_ * ld_, ld_, 1, w.transposed, ld_, STRIP, wide_,
                       wide_);
        finish_all(finish);
    }
    template <class Finish>
    void backward(int64_t l, const Weights& w, float* c, Finish finish) {
        product<false>(c, ld_, slopes_[l] + first_ * ld_, ld_, 1, w.plain, ld_, STRIP, wide_,
                       wide_);
        finish_all(finish);
    }
    void weight_slope(int64_t l, int64_t rows, float* c) {
        product<true>(c, ld_, slopes_[l], 1, ld_, values_[l], ld_, wide_, wide_, rows);
    }

private:
    template <class Finish> void finish_all(Finish finish) {
        for (int64_t j = 0; j < wide_; j += BLOCK)
            for (int64_t i = 0; i < STRIP; i += BLOCK) finish(i, j);
    }
    int64_t wide_, ld_, first_ = 0;
    std::vector<float*> values_, slopes_;
};

}  // namespace
