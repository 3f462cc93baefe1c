// Products of bf16 numbers, summed in float32: in vector registers, and in tile registers.
//
// A (rows, inner) and B (inner, columns) are cut into panels of 16 rows or columns, and these along
// `inner` into tiles of 16 pairs: 1 KiB in one piece, as tile registers take it. What `multiply`
// finds goes block by block through a scratch that stays in the nearest cache to
// finish(i, j, c, step): the rows and columns from i and j on, BLOCK of each. `add` sums into C.
#pragma once

#include <cstdint>
#include <utility>

#include "vectors.h"

#if defined(HAS_BF16)

namespace {

constexpr int64_t SCRATCH = 2 * 32 * 32;  // floats
constexpr int64_t TILE_PAIRS = 16 * 16;

struct Tiles {
    int32_t* data;
    int64_t steps;  // tiles in a panel
    static int64_t size(int64_t outer, int64_t inner) { return outer * inner / 2; }
    int32_t* panel(int64_t outer) const { return data + outer / 16 * steps * TILE_PAIRS; }
    // Where the row of A (column of B) from `inner` on begins, in A ...
    int32_t* row(int64_t outer, int64_t inner) const {
        return panel(outer) + inner / 32 * TILE_PAIRS + outer % 16 * 16 + inner % 32 / 2;
    }
    // ... and the sixteen columns from `outer` on of two rows, in B.
    int32_t* pairs(int64_t outer, int64_t inner) const {
        return panel(outer) + inner / 2 * 16;
    }
};

struct VectorProducts {
    static void begin() {}
    static void end() {}
    template <class Finish>
    static void multiply(float* scratch, Tiles a, Tiles b, int64_t rows, int64_t columns,
                         Finish finish) {
        for (int64_t j = 0; j < columns; j += 32)
            for (int64_t i = 0; i < rows; i += BLOCK) {
                for (int64_t part = 0; part < BLOCK; part += 8)
                    part_of<false>(scratch + part * 32, 32, a, b, i + part, j, a.steps);
                finish(i, j, scratch, 32);
                finish(i, j + BLOCK, scratch + BLOCK, 32);
            }
    }
    static void add(float* c, int64_t ldc, Tiles a, Tiles b, int64_t rows, int64_t columns,
                    int64_t inner) {
        for (int64_t j = 0; j < columns; j += 32)
            for (int64_t i = 0; i < rows; i += 8)
                part_of<true>(c + i * ldc + j, ldc, a, b, i, j, inner / 32);
    }

private:
    template <bool ADD>  // eight rows, two vectors
    static void part_of(float* c, int64_t ldc, Tiles a, Tiles b, int64_t i, int64_t j,
                        int64_t steps) {
        __m512 acc[8][2];
        for (int m = 0; m < 8; ++m)
            for (int v = 0; v < 2; ++v)
                acc[m][v] = ADD ? _mm512_load_ps(c + m * ldc + 16 * v) : _mm512_setzero_ps();
        const int32_t *pa = a.row(i, 0), *pb = b.panel(j), *pb_right = b.panel(j + 16);
        for (int64_t step = 0; step < steps; ++step, pa += TILE_PAIRS - 16)
            for (int k = 0; k < 16; ++k, ++pa, pb += 16, pb_right += 16) {
                const auto b0 = reinterpret_cast<__m512bh>(_mm512_load_si512(pb));
                const auto b1 = reinterpret_cast<__m512bh>(_mm512_load_si512(pb_right));
#pragma GCC unroll 8
                for (int m = 0; m < 8; ++m) {
                    const auto pair = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pa[m * 16]));
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
    static void multiply(float* scratch, Tiles a, Tiles b, int64_t rows, int64_t columns,
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
                for (int64_t k = 0; k < a.steps; ++k) {
                    step(a, b, i, j, k);
                    if (part < 4) finish_part(part++);
                }
                while (part < 4) finish_part(part++);
                store(now, 32);
                last_i = i, last_j = j;
                std::swap(now, last);
            }
        for (int64_t part = 0; part < 4; ++part) finish_part(part);
    }
    static void add(float* c, int64_t ldc, Tiles a, Tiles b, int64_t rows, int64_t columns,
                    int64_t inner) {
        memory_is_read();
        for (int64_t j = 0; j < columns; j += 32)
            for (int64_t i = 0; i < rows; i += 32) {
                float* block = c + i * ldc + j;
                _tile_loadd(0, block, ldc * 4);
                _tile_loadd(1, block + 16, ldc * 4);
                _tile_loadd(2, block + 16 * ldc, ldc * 4);
                _tile_loadd(3, block + 16 * ldc + 16, ldc * 4);
                for (int64_t k = 0; k < inner / 32; ++k) step(a, b, i, j, k);
                store(block, ldc);
            }
    }

private:
    // Compilers do not know that loads of tiles read memory, and may put off what is stored.
    static void memory_is_read() { __asm__ volatile("" ::: "memory"); }
    static void step(Tiles a, Tiles b, int64_t i, int64_t j, int64_t k) {
        const int32_t *rows = a.panel(i) + k * TILE_PAIRS, *columns = b.panel(j) + k * TILE_PAIRS;
        _tile_loadd(4, rows, 64);
        _tile_loadd(6, columns, 64);
        _tile_loadd(7, columns + b.steps * TILE_PAIRS, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, rows + a.steps * TILE_PAIRS, 64);
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
