// Products of bf16 numbers, summed in float32: in vector registers, and in tile registers.
//
// A (rows, inner) by rows, B as pairs (inner / 2, columns); steps count pairs of numbers. What
// `multiply` finds goes block by block through a scratch that stays in the nearest cache to
// finish(i, j, c, step): the rows and columns from i and j on, BLOCK of each. `add` sums into C.
#pragma once

#include "vectors.h"

#if defined(HAS_BF16)

namespace {

constexpr int64_t SCRATCH = 2 * 32 * 32;  // floats

struct VectorProducts {
    static void begin() {}
    static void end() {}
    template <class Finish>
    static void multiply(float* scratch, const int32_t* a, int64_t lda, const int32_t* b,
                         int64_t ldb, int64_t rows, int64_t columns, int64_t inner,
                         Finish finish) {
        for (int64_t j = 0; j < columns; j += 32)
            for (int64_t i = 0; i < rows; i += BLOCK) {
                for (int64_t part = 0; part < BLOCK; part += 8)
                    part_of<false>(scratch + part * 32, 32, a + (i + part) * lda, lda, b + j, ldb,
                                   inner);
                finish(i, j, scratch, 32);
                finish(i, j + BLOCK, scratch + BLOCK, 32);
            }
    }
    static void add(float* c, int64_t ldc, const int32_t* a, int64_t lda, const int32_t* b,
                    int64_t ldb, int64_t rows, int64_t columns, int64_t inner) {
        for (int64_t j = 0; j < columns; j += 32)
            for (int64_t i = 0; i < rows; i += 8)
                part_of<true>(c + i * ldc + j, ldc, a + i * lda, lda, b + j, ldb, inner);
    }

private:
    template <bool ADD>  // eight rows, two vectors
    static void part_of(float* c, int64_t ldc, const int32_t* a, int64_t lda, const int32_t* b,
                        int64_t ldb, int64_t inner) {
        __m512 acc[8][2];
        for (int m = 0; m < 8; ++m)
            for (int v = 0; v < 2; ++v)
                acc[m][v] = ADD ? _mm512_load_ps(c + m * ldc + 16 * v) : _mm512_setzero_ps();
        for (int64_t k = 0; k < inner / 2; ++k, b += ldb) {
            const auto b0 = reinterpret_cast<__m512bh>(_mm512_load_si512(b));
            const auto b1 = reinterpret_cast<__m512bh>(_mm512_load_si512(b + 16));
#pragma GCC unroll 8
            for (int m = 0; m < 8; ++m) {
                const auto pair = reinterpret_cast<__m512bh>(_mm512_set1_epi32(a[m * lda + k]));
                acc[m][0] = _mm512_dpbf16_ps(acc[m][0], pair, b0);
                acc[m][1] = _mm512_dpbf16_ps(acc[m][1], pair, b1);
            }
        }
        for (int m = 0; m < 8; ++m)
            for (int v = 0; v < 2; ++v) _mm512_store_ps(c + m * ldc + 16 * v, acc[m][v]);
    }
};

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

struct TileProducts {
    static void begin() {
        static const TileShapes shapes;
        _tile_loadconfig(&shapes);
    }
    static void end() { _tile_release(); }
    template <class Finish>
    static void multiply(float* scratch, const int32_t* a, int64_t lda, const int32_t* b,
                         int64_t ldb, int64_t rows, int64_t columns, int64_t inner,
                         Finish finish) {
        memory_is_read();
        int64_t last_i = -1, last_j = 0;
        float *now = scratch, *last = scratch + 32 * 32;
        const auto finish_part = [&](int64_t part) {  // upper left, lower left, right
            const int64_t i = part % 2 * BLOCK, j = part / 2 * BLOCK;
            if (last_i >= 0) finish(last_i + i, last_j + j, last + i * 32 + j, 32);
        };
        for (int64_t j = 0; j < columns; j += 32)
            for (int64_t i = 0; i < rows; i += 32) {
                _tile_zero(0);
                _tile_zero(1);
                _tile_zero(2);
                _tile_zero(3);
                // While the tile unit works, the rest of the core finishes the last block.
                int64_t part = 0;
                for (int64_t k = 0; k < inner; k += 32) {
                    step(a + i * lda + k / 2, lda, b + k / 2 * ldb + j, ldb);
                    if (part < 4) finish_part(part++);
                }
                while (part < 4) finish_part(part++);
                store(now, 32);
                last_i = i, last_j = j;
                std::swap(now, last);
            }
        for (int64_t part = 0; part < 4; ++part) finish_part(part);
    }
    static void add(float* c, int64_t ldc, const int32_t* a, int64_t lda, const int32_t* b,
                    int64_t ldb, int64_t rows, int64_t columns, int64_t inner) {
        memory_is_read();
        for (int64_t j = 0; j < columns; j += 32)
            for (int64_t i = 0; i < rows; i += 32) {
                float* block = c + i * ldc + j;
                _tile_loadd(0, block, ldc * 4);
                _tile_loadd(1, block + 16, ldc * 4);
                _tile_loadd(2, block + 16 * ldc, ldc * 4);
                _tile_loadd(3, block + 16 * ldc + 16, ldc * 4);
                for (int64_t k = 0; k < inner; k += 32)
                    step(a + i * lda + k / 2, lda, b + k / 2 * ldb + j, ldb);
                store(block, ldc);
            }
    }

private:
    // Compilers do not know that loads of tiles read memory, and may put off what is stored.
    static void memory_is_read() { __asm__ volatile("" ::: "memory"); }
    static void step(const int32_t* a, int64_t lda, const int32_t* b, int64_t ldb) {
        _tile_loadd(4, a, lda * 4);
        _tile_loadd(6, b, ldb * 4);
        _tile_loadd(7, b + 16, ldb * 4);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a + 16 * lda, lda * 4);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    static void store(float* c, int64_t ldc) {
        _tile_stored(0, c, ldc * 4);
        _tile_stored(1, c + 16, ldc * 4);
        _tile_stored(2, c + 16 * ldc, ldc * 4);
        _tile_stored(3, c + 16 * ldc + 16, ldc * 4);
    }
};
#endif

}  // namespace

#endif  // HAS_BF16
