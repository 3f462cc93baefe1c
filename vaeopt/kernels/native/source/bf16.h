// Products of bf16 numbers, summed in float32.
#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "memory.h"
#include "vectors.h"

#if defined(HAS_BF16)

namespace {

// tanh(x) = x q(|x|), q a parabola in each of 32 pieces round multiples of 1/4: error below 1e-4,
// bf16 rounds at 2e-3.
struct TanhTable {
    alignas(64) float c[3][32];
    TanhTable() {
        for (int i = 0; i < 32; ++i) {
            double x[3], f[3];  // interpolated at the nodes of Chebyshev
            for (int n = 0; n < 3; ++n) {
                x[n] = 0.25 * i + 0.125 * std::cos(M_PI * (2 * n + 1) / 6);
                f[n] = std::fabs(x[n]) < 1e-9 ? 1 : std::tanh(x[n]) / x[n];
            }
            const double d01 = (f[1] - f[0]) / (x[1] - x[0]), d12 = (f[2] - f[1]) / (x[2] - x[1]);
            const double d = (d12 - d01) / (x[2] - x[0]);
            c[0][i] = float(f[0] - x[0] * (d01 - x[1] * d));
            c[1][i] = float(d01 - (x[0] + x[1]) * d);
            c[2][i] = float(d);
        }
    }
};
const TanhTable TANH;

inline __m512 tanh_rounded(__m512 x) {
    x = clamp(x, -7.87f, 7.87f);
    const __m512 y = _mm512_abs_ps(x);
    // Rounded, 4 y ends up in the lowest bits, where the permutations look.
    const __m512i i = _mm512_castps_si512(
        _mm512_fmadd_ps(y, _mm512_set1_ps(4), _mm512_set1_ps(8388608.0f)));
    const auto coefficient = [i](const float* c) {
        return _mm512_permutex2var_ps(_mm512_load_ps(c), i, _mm512_load_ps(c + 16));
    };
    const __m512 c0 = coefficient(TANH.c[0]), c1 = coefficient(TANH.c[1]);
    const __m512 c2 = coefficient(TANH.c[2]);
    return _mm512_mul_ps(x, _mm512_fmadd_ps(_mm512_fmadd_ps(c2, y, c1), y, c0));
}

inline void transpose16(const int32_t* from, int64_t from_step, int32_t* to, int64_t to_step) {
    __m512i r[16], t[16];
    for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(from + i * from_step);
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; ++i) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
    for (int i = 0; i < 16; ++i) _mm512_storeu_si512(to + i * to_step, r[i]);
}

// Two rows as bf16: one after the other, and as pairs of numbers that stand below each other.
inline __m512i round_rows(__m512 x, __m512 y) {
    return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(y, x));
}
alignas(64) const uint16_t BESIDE[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                         21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                         11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
inline __m512i pair_rows(__m512i rows) {
    return _mm512_permutexvar_epi16(_mm512_load_si512(BESIDE), rows);
}

#if defined(HAS_AMX)
bool amx_granted() {  // the kernel keeps tile registers for processes that have asked for them
    static const bool granted = syscall(SYS_arch_prctl, 0x1023, 18) == 0;
    return granted;
}
struct alignas(64) TileShapes {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
#endif

// A (rows, inner) bf16 by rows; B as pairs (inner / 2, columns). Steps count pairs of numbers.
struct VectorProducts {
    static void begin() {}
    static void end() {}
    template <bool ADD, class Finish>
    static void product(float* c, int64_t ldc, const int32_t* a, int64_t lda, const int32_t* b,
                        int64_t ldb, int64_t rows, int64_t columns, int64_t inner,
                        Finish finish) {
        for (int64_t j = 0; j < columns; j += 32)
            for (int64_t i = 0; i < rows; i += 8) {
                __m512 acc[8][2];
                for (int m = 0; m < 8; ++m)
                    for (int v = 0; v < 2; ++v)
                        acc[m][v] = ADD ? _mm512_load_ps(c + (i + m) * ldc + j + 16 * v)
                                        : _mm512_setzero_ps();
                for (int64_t k = 0; k < inner / 2; ++k) {
                    const __m512i b0 = _mm512_load_si512(b + k * ldb + j);
                    const __m512i b1 = _mm512_load_si512(b + k * ldb + j + 16);
#pragma GCC unroll 8
                    for (int m = 0; m < 8; ++m) {
                        const auto pair = reinterpret_cast<__m512bh>(
                            _mm512_set1_epi32(a[(i + m) * lda + k]));
                        acc[m][0] =
                            _mm512_dpbf16_ps(acc[m][0], pair, reinterpret_cast<__m512bh>(b0));
                        acc[m][1] =
                            _mm512_dpbf16_ps(acc[m][1], pair, reinterpret_cast<__m512bh>(b1));
                    }
                }
                for (int m = 0; m < 8; ++m)
                    for (int v = 0; v < 2; ++v)
                        _mm512_store_ps(c + (i + m) * ldc + j + 16 * v, acc[m][v]);
                if (i % BLOCK == BLOCK - 8) finish(i - i % BLOCK, j);
            }
    }
};

#if defined(HAS_AMX)
struct TileProducts {
    static void begin() {
        static const TileShapes shapes;
        _tile_loadconfig(&shapes);
    }
    static void end() { _tile_release(); }
    template <bool ADD, class Finish>
    static void product(float* c, int64_t ldc, const int32_t* a, int64_t lda, const int32_t* b,
                        int64_t ldb, int64_t rows, int64_t columns, int64_t inner,
                        Finish finish) {
        const int64_t sc = ldc * 4, sa = lda * 4, sb = ldb * 4;
        int64_t last_i = -1, last_j = 0;
        for (int64_t j = 0; j < columns; j += 32)
            for (int64_t i = 0; i < rows; i += 32) {
                float *c0 = c + i * ldc + j, *c1 = c0 + 16 * ldc;
                if (ADD) {
                    _tile_loadd(0, c0, sc);
                    _tile_loadd(1, c0 + 16, sc);
                    _tile_loadd(2, c1, sc);
                    _tile_loadd(3, c1 + 16, sc);
                } else {
                    _tile_zero(0);
                    _tile_zero(1);
                    _tile_zero(2);
                    _tile_zero(3);
                }
                const int32_t *pa = a + i * lda, *pb = b + j;
                for (int64_t k = 0; k < inner; k += 32, pa += 16, pb += 16 * ldb) {
                    _tile_loadd(4, pa, sa);
                    _tile_loadd(6, pb, sb);
                    _tile_loadd(7, pb + 16, sb);
                    _tile_dpbf16ps(0, 4, 6);
                    _tile_dpbf16ps(1, 4, 7);
                    _tile_loadd(5, pa + 16 * lda, sa);
                    _tile_dpbf16ps(2, 5, 6);
                    _tile_dpbf16ps(3, 5, 7);
                }
                // While the tile unit works, the rest of the core finishes the last block.
                if (last_i >= 0) finish(last_i, last_j);
                last_i = i, last_j = j;
                _tile_stored(0, c0, sc);
                _tile_stored(1, c0 + 16, sc);
                _tile_stored(2, c1, sc);
                _tile_stored(3, c1 + 16, sc);
            }
        finish(last_i, last_j);
    }
};
#endif

template <class Products> class Bf16 {
public:
    static constexpr int64_t TILE = 2 * STRIP;
    static constexpr bool ROUNDS = true;

    struct Weights {
        int32_t *plain, *transposed;  // pairs along the index that is summed over
    };
    static Weights pack(Arena& arena, const float* w, int64_t width) {
        const int64_t wide = padded(width), ld = wide + PAD, ld_rows = wide / 2 + PAD;
        Weights out{arena.take<int32_t>(wide / 2 * ld), arena.take<int32_t>(wide / 2 * ld)};
        auto* rows = arena.take<int32_t>(wide * ld_rows);
        auto* copy = arena.take<float>(wide * wide);
        if (!out.plain) return out;
        if (wide != width) std::memset(copy, 0, size_t(wide * wide) * 4);
        for (int64_t j = 0; j < width; ++j)
            std::memcpy(copy + j * wide, w + j * width, size_t(width) * 4);
        for (int64_t j = 0; j < wide; j += 2)
            for (int64_t k = 0; k < wide; k += 16) {
                const __m512i two = round_rows(_mm512_load_ps(copy + j * wide + k),
                                               _mm512_load_ps(copy + (j + 1) * wide + k));
                _mm512_store_si512(out.plain + j / 2 * ld + k, pair_rows(two));
                store_rows(rows + j * ld_rows + k / 2, ld_rows, two);
            }
        for (int64_t j = 0; j < wide; j += 16)
            for (int64_t k = 0; k < wide / 2; k += 16)
                transpose16(rows + j * ld_rows + k, ld_rows, out.transposed + k * ld + j, ld);
        return out;
    }

    Bf16(Arena& arena, int64_t width, int64_t depth)
        : wide_(padded(width)), ld_(wide_ + PAD), ld_rows_(wide_ / 2 + PAD) {
        for (int i = 0; i < 2; ++i) {  // what goes in and what comes out of a product
            value_rows_[i] = arena.take<int32_t>(STRIP * ld_rows_);
            slope_rows_[i] = arena.take<int32_t>(STRIP * ld_rows_);
        }
        slope_pairs_ = arena.take<int32_t>(STRIP / 2 * ld_);
        for (int64_t l = 0; l < depth; ++l) {
            value_pairs_.push_back(arena.take<int32_t>(TILE / 2 * ld_));
            slope_columns_.push_back(arena.take<int32_t>(wide_ * (TILE / 2 + PAD)));
        }
    }
    void begin() { Products::begin(); }
    void end() { Products::end(); }
    void strip(int64_t row) { first_ = row; }
    static Vec tanh(Vec x) { return tanh_rounded(x); }
    void put_value(int64_t l, int64_t row, int64_t j, Vec x, Vec y) {
        const __m512i two = round_rows(x, y);
        store_rows(value_rows_[l % 2] + row * ld_rows_ + j / 2, ld_rows_, two);
        _mm512_store_si512(value_pairs_[l] + (first_ + row) / 2 * ld_ + j, pair_rows(two));
    }
    void get_value(int64_t l, int64_t row, int64_t j, Vec& x, Vec& y) const {
        const __m512i two = _mm512_load_si512(value_pairs_[l] + (first_ + row) / 2 * ld_ + j);
        x = _mm512_castsi512_ps(_mm512_slli_epi32(two, 16));
        y = _mm512_castsi512_ps(_mm512_and_si512(two, _mm512_set1_epi32(int(0xffff0000u))));
    }
    void put_slope(int64_t l, int64_t row, int64_t j, Vec x, Vec y) {
        const __m512i two = round_rows(x, y);
        store_rows(slope_rows_[l % 2] + row * ld_rows_ + j / 2, ld_rows_, two);
        _mm512_store_si512(slope_pairs_ + row / 2 * ld_ + j, pair_rows(two));
    }
    void slopes_done(int64_t l) {
        constexpr int64_t ld = TILE / 2 + PAD;
        for (int64_t row = 0; row < STRIP / 2; row += 16)
            for (int64_t j = 0; j < wide_; j += 16)
                transpose16(slope_pairs_ + row * ld_ + j, ld_,
                            slope_columns_[l] + j * ld + first_ / 2 + row, ld);
    }
    template <class Finish> void forward(int64_t l, const Weights& w, float* c, Finish finish) {
        Products::template product<false>(c, ld_, value_rows_[l % 2], ld_rows_, w.transposed, ld_,
                                          STRIP, wide_, wide_, finish);
    }
    template <class Finish> void backward(int64_t l, const Weights& w, float* c, Finish finish) {
        Products::template product<false>(c, ld_, slope_rows_[l % 2], ld_rows_, w.plain, ld_,
                                          STRIP, wide_, wide_, finish);
    }
    void weight_slope(int64_t l, int64_t rows, float* c) {
        Products::template product<true>(c, ld_, slope_columns_[l], TILE / 2 + PAD,
                                         value_pairs_[l], ld_, wide_, wide_, rows,
                                         [](int64_t, int64_t) {});
    }

private:
    static void store_rows(int32_t* to, int64_t step, __m512i two) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(two));
        _mm256_store_si256(reinterpret_cast<__m256i*>(to + step),
                           _mm512_extracti64x4_epi64(two, 1));
    }
    int64_t wide_, ld_, ld_rows_, first_ = 0;
    int32_t *value_rows_[2], *slope_rows_[2], *slope_pairs_;
    std::vector<int32_t*> value_pairs_, slope_columns_;
};

}  // namespace

#endif  // HAS_BF16
