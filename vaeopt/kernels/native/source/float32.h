// Products in float32.
#pragma once

#include <cstring>
#include <vector>

#include "memory.h"
#include "vectors.h"

namespace {

#if defined(__AVX512F__)
constexpr int PART_ROWS = 8, PART_VECTORS = 2;  // what the registers hold
#elif defined(__AVX__)
constexpr int PART_ROWS = 4, PART_VECTORS = 2;
#else
constexpr int PART_ROWS = 4, PART_VECTORS = 4;
#endif
constexpr int64_t PART_COLUMNS = PART_VECTORS * LANES;

// Element (i, k) of A lies at data[i * row_step + k * column_step].
struct Left {
    const float* data;
    int64_t row_step, column_step;
};

// C = or += A B, of as many rows and columns as the registers hold; in line, because the steps are
// constants where it is called.
template <bool ADD>
__attribute__((always_inline)) inline void part_of_product(float* c, int64_t ldc, Left a,
                                                           const float* b, int64_t ldb,
                                                           int64_t inner) {
    Vec acc[PART_ROWS][PART_VECTORS];
    for (int m = 0; m < PART_ROWS; ++m)
        for (int v = 0; v < PART_VECTORS; ++v)
            acc[m][v] = ADD ? at(c + m * ldc + v * LANES) : Vec{};
    for (int64_t k = 0; k < inner; ++k, a.data += a.column_step, b += ldb) {
        Vec row[PART_VECTORS];
        for (int v = 0; v < PART_VECTORS; ++v) row[v] = at(b + v * LANES);
#pragma GCC unroll 8
        for (int m = 0; m < PART_ROWS; ++m) {
            const Vec value = splat(a.data[m * a.row_step]);
#pragma GCC unroll 4
            for (int v = 0; v < PART_VECTORS; ++v) acc[m][v] += value * row[v];
        }
    }
    for (int m = 0; m < PART_ROWS; ++m)
        for (int v = 0; v < PART_VECTORS; ++v) at(c + m * ldc + v * LANES) = acc[m][v];
}

// What an engine offers: hidden values and slopes in its own number format, and the three products
// per layer. Layers count from 0; values[l] goes into layer l, the last ones into the output, and
// slopes[l] is the slope of the loss by what comes out of layer l before the tanh. The products of
// a strip hand every block of BLOCK rows and columns to finish(row, column, c, step).
class Float32 {
public:
    static constexpr int64_t TILE = 2 * STRIP;
    struct Tanh {
        Vec operator()(Vec x) const { return tanh_exact(x); }
    };

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
        scratch_ = arena.take<float>(BLOCK * PART_COLUMNS);
        for (int64_t l = 0; l <= depth; ++l) values_.push_back(arena.take<float>(TILE * ld_));
        for (int64_t l = 0; l < depth; ++l) slopes_.push_back(arena.take<float>(TILE * ld_));
    }
    void begin() {}
    void end() {}
    void strip(int64_t row) { first_ = row; }
    // The values of BLOCK rows in LANES units, two rows at a time.
    class Values {
    public:
        Values(float* start, int64_t step) : start_(start), step_(step) {}
        void put(int64_t row, Vec x, Vec y) const {
            at(start_ + row * step_) = x;
            at(start_ + (row + 1) * step_) = y;
        }
        void put_last(int64_t row, Vec x, Vec y) const { put(row, x, y); }
        void get(int64_t row, Vec& x, Vec& y) const {
            x = at(start_ + row * step_);
            y = at(start_ + (row + 1) * step_);
        }

    private:
        float* start_;
        int64_t step_;
    };
    Values values(int64_t l, int64_t row, int64_t j) const {
        return Values(values_[l] + (first_ + row) * ld_ + j, ld_);
    }
    void put_slopes(int64_t l, int64_t row, int64_t j, const Vec* slopes) {
        float* p = slopes_[l] + (first_ + row) * ld_ + j;
        for (int64_t i = 0; i < BLOCK; ++i) at(p + i * ld_) = slopes[i];
    }
    template <class Finish> void forward(int64_t l, const Weights& w, Finish finish) {
        multiply(values_[l], w.transposed, finish);
    }
    template <class Finish> void backward(int64_t l, const Weights& w, Finish finish) {
        multiply(slopes_[l], w.plain, finish);
    }
    void weight_slope(int64_t l, int64_t rows, float* c) {
        for (int64_t j = 0; j < wide_; j += PART_COLUMNS)
            for (int64_t i = 0; i < wide_; i += PART_ROWS)
                part_of_product<true>(c + i * ld_ + j, ld_, Left{slopes_[l] + i, 1, ld_},
                                      values_[l] + j, ld_, rows);
    }

private:
    template <class Finish> void multiply(const float* a, const float* b, Finish finish) {
        for (int64_t j = 0; j < wide_; j += PART_COLUMNS)
            for (int64_t i = 0; i < STRIP; i += BLOCK) {
                for (int64_t part = 0; part < BLOCK; part += PART_ROWS)
                    part_of_product<false>(scratch_ + part * PART_COLUMNS, PART_COLUMNS,
                                           Left{a + (first_ + i + part) * ld_, ld_, 1}, b + j,
                                           ld_, wide_);
                for (int64_t v = 0; v < PART_COLUMNS; v += BLOCK)
                    finish(i, j + v, scratch_ + v, PART_COLUMNS);
            }
    }
    int64_t wide_, ld_, first_ = 0;
    float* scratch_;
    std::vector<float*> values_, slopes_;
};

}  // namespace
