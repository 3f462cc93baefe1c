// The engine of bf16 products.
#pragma once

#include <cstring>
#include <vector>

#include "bf16_numbers.h"
#include "bf16_products.h"
#include "memory.h"

#if defined(HAS_BF16)

namespace {

inline Tiles tiles(Arena& arena, int64_t outer, int64_t inner) {
    return Tiles{arena.take<int32_t>(Tiles::size(outer, inner)), inner / 32};
}

template <class Products> class Bf16 {
public:
    static constexpr int64_t TILE = 4 * STRIP;
    using Tanh = RoundTanh;

    struct Weights {
        Tiles plain, transposed;
    };
    static Weights pack(Arena& arena, const float* w, int64_t width) {
        const int64_t wide = padded(width);
        Weights out{tiles(arena, wide, wide), tiles(arena, wide, wide)};
        auto* copy = arena.take<float>(wide * wide);
        if (!copy) return out;
        if (wide != width) std::memset(copy, 0, size_t(wide * wide) * 4);
        for (int64_t j = 0; j < width; ++j)
            std::memcpy(copy + j * wide, w + j * width, size_t(width) * 4);
        for (int64_t j = 0; j < wide; j += BLOCK)
            for (int64_t k = 0; k < wide; k += BLOCK) pack_block(out, copy, wide, j, k);
        return out;
    }

    Bf16(Arena& arena, int64_t width, int64_t depth) : wide_(padded(width)) {
        scratch_ = arena.take<float>(SCRATCH);
        for (Tiles& rows : rows_) rows = tiles(arena, STRIP, wide_);
        last_pairs_ = tiles(arena, wide_, STRIP);
        for (int64_t l = 0; l < depth; ++l) value_pairs_.push_back(tiles(arena, wide_, TILE));
        for (int64_t l = 0; l < depth; ++l) slope_columns_.push_back(tiles(arena, wide_, TILE));
    }
    void begin() { Products::begin(); }
    void end() { Products::end(); }
    void strip(int64_t row) { first_ = row; }
    // The values of BLOCK rows in LANES units, two rows at a time.
    class Values {
    public:
        Values(int32_t* rows, int32_t* pairs) : rows_(rows), pairs_(pairs) {}
        void put(int64_t row, Vec x, Vec y) const {
            const __m512i two = round_rows(x, y);
            store_halves(rows_ + row * 16, rows_ + (row + 1) * 16, two);
            _mm512_store_si512(pairs_ + row * 8, pair_rows(two));
        }
        void put_last(int64_t row, Vec x, Vec y) const {  // no product takes these
            _mm512_store_si512(pairs_ + row * 8, pair_rows(round_rows(x, y)));
        }
        void get(int64_t row, Vec& x, Vec& y) const {
            const __m512i two = _mm512_load_si512(pairs_ + row * 8);
            x = _mm512_castsi512_ps(_mm512_slli_epi32(two, 16));
            y = _mm512_castsi512_ps(_mm512_and_si512(two, _mm512_set1_epi32(int(0xffff0000u))));
        }

    private:
        int32_t *rows_, *pairs_;
    };
    Values values(int64_t l, int64_t row, int64_t j) const {
        const bool last = l == int64_t(value_pairs_.size());
        return Values(rows_[l % 2].row(row, j), last ? last_pairs_.pairs(j, row)
                                                     : value_pairs_[l].pairs(j, first_ + row));
    }
    void put_slopes(int64_t l, int64_t row, int64_t j, const Vec* slopes) {
        int32_t* rows = rows_[l % 2].row(row, j);
        __m512i pairs[BLOCK / 2];
#pragma GCC unroll 8
        for (int64_t i = 0; i < BLOCK / 2; ++i) {
            const __m512i two = round_rows(slopes[2 * i], slopes[2 * i + 1]);
            store_halves(rows + 2 * i * 16, rows + (2 * i + 1) * 16, two);
            pairs[i] = pair_rows(two);
        }
        transpose_pairs(pairs, slope_columns_[l].row(j, first_ + row), 16);
    }
    template <class Finish> void forward(int64_t l, const Weights& w, Finish finish) {
        Products::multiply(scratch_, rows_[l % 2], w.transposed, STRIP, wide_, finish);
    }
    template <class Finish> void backward(int64_t l, const Weights& w, Finish finish) {
        Products::multiply(scratch_, rows_[l % 2], w.plain, STRIP, wide_, finish);
    }
    void weight_slope(int64_t l, int64_t rows, float* c) {
        Products::add(c, wide_ + PAD, slope_columns_[l], value_pairs_[l], wide_, wide_, rows);
    }

private:
    static void pack_block(Weights& to, const float* w, int64_t step, int64_t j, int64_t k) {
        __m512i pairs[BLOCK / 2];
        for (int64_t i = 0; i < BLOCK; i += 2) {
            const float* row = w + (j + i) * step + k;
            pairs[i / 2] = pair_rows(round_rows(at(row), at(row + step)));
            _mm512_store_si512(to.plain.pairs(k, j + i), pairs[i / 2]);
        }
        alignas(64) int32_t turned[BLOCK][BLOCK / 2];
        transpose_pairs(pairs, turned[0], BLOCK / 2);
        for (int64_t i = 0; i < BLOCK; i += 2)
            _mm512_store_si512(to.transposed.pairs(j, k + i),
                               pair_rows(load_halves(turned[i], turned[i + 1])));
    }
    int64_t wide_, first_ = 0;
    float* scratch_;
    Tiles rows_[2];  // what goes in and what comes out of a product: values, later slopes
    Tiles last_pairs_;
    std::vector<Tiles> value_pairs_, slope_columns_;
};

}  // namespace

#endif  // HAS_BF16
