// The engine of bf16 products.
#pragma once

#include <cstring>
#include <vector>

#include "bf16_numbers.h"
#include "bf16_products.h"
#include "memory.h"

#if defined(HAS_BF16)

namespace {

template <class Products> class Bf16 {
public:
    static constexpr int64_t TILE = 2 * STRIP;
    using Tanh = RoundTanh;

    struct Weights {
        int32_t *plain, *transposed;  // pairs along the index that is summed over
    };
    static Weights pack(Arena& arena, const float* w, int64_t width) {
        const int64_t wide = padded(width), ld = wide + PAD, ld_rows = wide / 2 + PAD;
        Weights out{arena.take<int32_t>(wide / 2 * ld), arena.take<int32_t>(wide / 2 * ld)};
        auto* turned = arena.take<int32_t>(wide * ld_rows);  // by rows
        auto* copy = arena.take<float>(wide * wide);
        if (!out.plain) return out;
        if (wide != width) std::memset(copy, 0, size_t(wide * wide) * 4);
        for (int64_t j = 0; j < width; ++j)
            std::memcpy(copy + j * wide, w + j * width, size_t(width) * 4);
        for (int64_t j = 0; j < wide; j += BLOCK)
            for (int64_t k = 0; k < wide; k += LANES) {
                __m512i pairs[BLOCK / 2];
                for (int64_t i = 0; i < BLOCK / 2; ++i) {
                    const float* row = copy + (j + 2 * i) * wide + k;
                    pairs[i] = pair_rows(round_rows(at(row), at(row + wide)));
                    _mm512_store_si512(out.plain + (j / 2 + i) * ld + k, pairs[i]);
                }
                transpose_pairs(pairs, turned + k * ld_rows + j / 2, ld_rows);
            }
        for (int64_t k = 0; k < wide; k += 2)
            for (int64_t j = 0; j < wide; j += LANES) {
                const int32_t* row = turned + k * ld_rows + j / 2;
                _mm512_store_si512(out.transposed + k / 2 * ld + j,
                                   pair_rows(load_halves(row, row + ld_rows)));
            }
        return out;
    }

    Bf16(Arena& arena, int64_t width, int64_t depth)
        : wide_(padded(width)), ld_(wide_ + PAD), ld_rows_(wide_ / 2 + PAD) {
        scratch_ = arena.take<float>(SCRATCH);
        for (int i = 0; i < 2; ++i) {  // what goes in and what comes out of a product
            value_rows_[i] = arena.take<int32_t>(STRIP * ld_rows_);
            slope_rows_[i] = arena.take<int32_t>(STRIP * ld_rows_);
        }
        for (int64_t l = 0; l <= depth; ++l)
            value_pairs_.push_back(arena.take<int32_t>(TILE / 2 * ld_));
        for (int64_t l = 0; l < depth; ++l)
            slope_columns_.push_back(arena.take<int32_t>(wide_ * LD_COLUMNS));
    }
    void begin() { Products::begin(); }
    void end() { Products::end(); }
    void strip(int64_t row) { first_ = row; }
    void put_value(int64_t l, int64_t row, int64_t j, Vec x, Vec y) {
        const __m512i two = round_rows(x, y);
        int32_t* to = value_rows_[l % 2] + row * ld_rows_ + j / 2;
        store_halves(to, to + ld_rows_, two);
        _mm512_store_si512(pair(l, row, j), pair_rows(two));
    }
    void put_last(int64_t row, int64_t j, Vec x, Vec y) {
        _mm512_store_si512(pair(depth(), row, j), pair_rows(round_rows(x, y)));
    }
    void get_value(int64_t l, int64_t row, int64_t j, Vec& x, Vec& y) const {
        const __m512i two = _mm512_load_si512(pair(l, row, j));
        x = _mm512_castsi512_ps(_mm512_slli_epi32(two, 16));
        y = _mm512_castsi512_ps(_mm512_and_si512(two, _mm512_set1_epi32(int(0xffff0000u))));
    }
    void put_slopes(int64_t l, int64_t row, int64_t j, const Vec* slopes) {
        __m512i pairs[BLOCK / 2];
#pragma GCC unroll 8
        for (int64_t i = 0; i < BLOCK / 2; ++i) {
            const __m512i two = round_rows(slopes[2 * i], slopes[2 * i + 1]);
            int32_t* to = slope_rows_[l % 2] + (row + 2 * i) * ld_rows_ + j / 2;
            store_halves(to, to + ld_rows_, two);
            pairs[i] = pair_rows(two);
        }
        transpose_pairs(pairs, slope_columns_[l] + j * LD_COLUMNS + (first_ + row) / 2,
                        LD_COLUMNS);
    }
    template <class Finish> void forward(int64_t l, const Weights& w, Finish finish) {
        Products::multiply(scratch_, value_rows_[l % 2], ld_rows_, w.transposed, ld_, STRIP, wide_,
                           wide_, finish);
    }
    template <class Finish> void backward(int64_t l, const Weights& w, Finish finish) {
        Products::multiply(scratch_, slope_rows_[l % 2], ld_rows_, w.plain, ld_, STRIP, wide_,
                           wide_, finish);
    }
    void weight_slope(int64_t l, int64_t rows, float* c) {
        Products::add(c, ld_, slope_columns_[l], LD_COLUMNS, value_pairs_[l], ld_, wide_, wide_,
                      rows);
    }

private:
    static constexpr int64_t LD_COLUMNS = TILE / 2 + PAD;
    int64_t depth() const { return int64_t(slope_columns_.size()); }
    int32_t* pair(int64_t l, int64_t row, int64_t j) const {
        return value_pairs_[l] + (first_ + row) / 2 * ld_ + j;
    }

    int64_t wide_, ld_, ld_rows_, first_ = 0;
    float* scratch_;
    int32_t *value_rows_[2], *slope_rows_[2];
    std::vector<int32_t*> value_pairs_, slope_columns_;
};

}  // namespace

#endif  // HAS_BF16
