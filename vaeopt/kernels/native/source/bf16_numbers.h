// Numbers of 16 bits: how float32 vectors become them, and where they go.
#pragma once

#include <cmath>
#include <cstdint>

#include "vectors.h"

#if defined(HAS_BF16)

namespace {

// tanh(x) = x q(|x|), q a straight line in each of 32 pieces round multiples of 1/8: error below
// 8e-4 of the value; bf16 rounds at 2e-3 to 4e-3.
struct TanhTable {
    alignas(64) float constant[32], slope[32];
    TanhTable() {
        for (int i = 0; i < 32; ++i) {
            double x[2], f[2];  // interpolated at the nodes of Chebyshev
            for (int n = 0; n < 2; ++n) {
                x[n] = 0.125 * i + 0.0625 * std::cos(M_PI * (2 * n + 1) / 4);
                f[n] = std::tanh(x[n]) / x[n];
            }
            const double by_x = (f[1] - f[0]) / (x[1] - x[0]);
            slope[i] = float(by_x);
            constant[i] = float(f[0] - by_x * x[0]);
        }
    }
};
const TanhTable TANH_TABLE;

// Made where it is used, so that the table stays in registers.
class RoundTanh {
public:
    RoundTanh() {
        for (int half = 0; half < 2; ++half) {
            constant_[half] = _mm512_load_ps(TANH_TABLE.constant + 16 * half);
            slope_[half] = _mm512_load_ps(TANH_TABLE.slope + 16 * half);
        }
    }
    // Few multiplications, minima and shifts: next to busy tile registers, these have one port.
    Vec operator()(__m512 x) const {
        // Not a number stays one: of two operands, the minimum is the second then.
        const __m512 y = _mm512_min_ps(_mm512_set1_ps(3.93f), _mm512_abs_ps(x));
        // The lowest bits of 2^20 + y count steps of 1/8, rounded, and the permutations look there.
        const __m512i i = _mm512_castps_si512(_mm512_add_ps(y, _mm512_set1_ps(1048576.0f)));
        const __m512 constant = _mm512_permutex2var_ps(constant_[0], i, constant_[1]);
        const __m512 slope = _mm512_permutex2var_ps(slope_[0], i, slope_[1]);
        const __m512 value = _mm512_mul_ps(y, _mm512_fmadd_ps(slope, y, constant));
        return with_sign_of(x, value);
    }

private:
    static __m512 with_sign_of(__m512 x, __m512 magnitude) {
        return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(
            _mm512_set1_epi32(INT32_MIN), _mm512_castps_si512(x), _mm512_castps_si512(magnitude),
            0xca));  // the first chooses, bit by bit, from the others
    }
    __m512 constant_[2], slope_[2];
};

// Two rows as bf16: one after the other, and as pairs of numbers that stand below each other.
inline __m512i round_rows(__m512 x, __m512 y) {
    return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(y, x));
}
alignas(64) constexpr uint16_t BESIDE[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                             21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                             11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
inline __m512i pair_rows(__m512i rows) {
    return _mm512_permutexvar_epi16(_mm512_load_si512(BESIDE), rows);
}
inline void store_halves(int32_t* first, int32_t* second, __m512i two) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(first), _mm512_castsi512_si256(two));
    _mm256_store_si256(reinterpret_cast<__m256i*>(second), _mm512_extracti64x4_epi64(two, 1));
}

inline __m512i load_halves(const int32_t* first, const int32_t* second) {
    const auto half = [](const int32_t* from) {
        return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
    };
    return _mm512_inserti64x4(_mm512_castsi256_si512(half(first)), half(second), 1);
}

// Eight rows of sixteen pairs become sixteen rows of eight.
inline void transpose_pairs(const __m512i* rows, int32_t* to, int64_t step) {
    __m512i a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int k = 0; k < 2; ++k) {
            b[i + 2 * k] = _mm512_unpacklo_epi64(a[i + k], a[i + k + 2]);
            b[i + 2 * k + 1] = _mm512_unpackhi_epi64(a[i + k], a[i + k + 2]);
        }
    // Quarter q of b[k] is column 4 q + k of rows 0 to 3, that of b[4 + k] of rows 4 to 7.
    const __m512i even = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const __m512i odd = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    for (int k = 0; k < 4; ++k) {
        int32_t* column = to + k * step;
        store_halves(column, column + 8 * step, _mm512_permutex2var_epi64(b[k], even, b[k + 4]));
        store_halves(column + 4 * step, column + 12 * step,
                     _mm512_permutex2var_epi64(b[k], odd, b[k + 4]));
    }
}

}  // namespace

#endif  // HAS_BF16
