// Fully connected layers, forwards and back, for some rows at a time.
//
// Weights are kept transposed, (inputs, outputs), rows and columns padded with zeros: so a product
// reads them as they lie, and whatever is padded gets no gradient.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "float32.h"
#include "memory.h"
#include "vectors.h"

namespace {

inline int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

struct Dense {  // where a layer stands in the array of all weights
    int64_t in, out, weights, biases;
    int64_t rows() const { return up(in, 32); }
    int64_t columns() const { return up(out, 32); }
};

#if defined(__AVX512F__)
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
#endif

// C = A B; rows in eights, columns in 32s.
inline void product(float* c, int64_t ldc, Left a, const float* b, int64_t ldb, int64_t rows,
                    int64_t columns, int64_t inner) {
    for (int64_t j = 0; j < columns; j += PART_COLUMNS)
        for (int64_t i = 0; i < rows; i += PART_ROWS)
            part_of_product<false>(c + i * ldc + j, ldc,
                                   Left{a.data + i * a.row_step, a.row_step, a.column_step}, b + j,
                                   ldb, inner);
}

// (rows, columns) to (columns, rows)
inline void transpose(const float* from, int64_t from_step, float* to, int64_t to_step,
                      int64_t rows, int64_t columns) {
    int64_t whole = 0;
#if defined(__AVX512F__)
    whole = rows / 16 * 16;
    for (int64_t i = 0; i < whole; i += 16)
        for (int64_t j = 0; j < columns; j += 16)
            transpose16(reinterpret_cast<const int32_t*>(from + i * from_step + j), from_step,
                        reinterpret_cast<int32_t*>(to + j * to_step + i), to_step);
#endif
    for (int64_t j = 0; j < columns; ++j)
        for (int64_t i = whole; i < rows; ++i) to[j * to_step + i] = from[i * from_step + j];
}

// What comes out of a layer, from its product.
inline void finish_layer(float* y, int64_t ld, int64_t rows, const Dense& layer, const float* w,
                         bool hidden) {
    const float* bias = w + layer.biases;
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t j = 0; j < layer.columns(); j += LANES) {
            Vec& v = at(y + r * ld + j);
            v = hidden ? tanh_exact(v + at(bias + j)) : v + at(bias + j);
        }
}

// Slopes by the biases of a layer.
inline void sum_rows(const float* slopes, int64_t ld, int64_t rows, const Dense& layer, float* g) {
    for (int64_t j = 0; j < layer.columns(); j += LANES) {
        Vec total = {};
        for (int64_t r = 0; r < rows; ++r) total += at(slopes + r * ld + j);
        at(g + layer.biases + j) = total;
    }
}

// Slopes by what a tanh has given, to those by what it was given.
inline void through_tanh(float* slopes, const float* values, int64_t ld, int64_t rows,
                         const Dense& layer) {
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t j = 0; j < layer.columns(); j += LANES) {
            const Vec x = at(values + r * ld + j);
            Vec& slope = at(slopes + r * ld + j);
            slope = slope - slope * (x * x);
        }
}

// Hidden layers with tanh, then a linear one.
class Perceptron {
public:
    Perceptron(Arena& arena, const std::vector<Dense>& layers, int64_t capacity, bool to_input)
        : layers_(layers), to_input_(to_input) {
        const int64_t rows = up(capacity, 8);
        for (size_t l = 0; l < layers.size(); ++l) {
            values_.push_back(zeros(arena, rows * ld(l)));
            slopes_.push_back(zeros(arena, rows * ld(l)));
            const bool turned = l > 0 || to_input;
            turned_.push_back(turned ? zeros(arena, layers[l].columns() * ld_turned(l)) : nullptr);
        }
        if (to_input) input_slope_ = zeros(arena, rows * ld_input_slope());
    }
    // Floats from row to row of what comes out, and of its slopes.
    int64_t ld_output() const { return ld(layers_.size() - 1); }
    int64_t ld_input_slope() const { return up(layers_[0].in, 32) + PAD; }
    float* output() { return values_.back(); }
    float* output_slope() { return slopes_.back(); }
    const float* input_slope() const { return input_slope_; }

    // Rows are computed in eights: what is read of x, and written, goes a little beyond the last.
    void forward(const float* w, const float* x, int64_t ldx, int64_t rows) {
        const int64_t tall = up(rows, 8);
        for (size_t l = 0; l < layers_.size(); ++l) {
            const Dense& layer = layers_[l];
            float* y = values_[l];
            product(y, ld(l), Left{x, ldx, 1}, w + layer.weights, layer.columns(), tall,
                    layer.columns(), layer.in);
            finish_layer(y, ld(l), rows, layer, w, l + 1 < layers_.size());
            x = y, ldx = ld(l);
        }
    }
    // From output_slope(); sums over the rows go to g, which is laid out like the weights.
    void backward(const float* w, float* g, const float* x, int64_t ldx, int64_t rows) {
        for (size_t l = layers_.size(); l-- > 0;) {
            const Dense& layer = layers_[l];
            const float* d = slopes_[l];
            const float* in = l > 0 ? values_[l - 1] : x;
            const int64_t ldi = l > 0 ? ld(l - 1) : ldx;
            float* to = g + layer.weights;
            product(to, layer.columns(), Left{in, 1, ldi}, d, ld(l), up(layer.in, 8),
                    layer.columns(), rows);
            // Rows of padding have read what lies behind the numbers of a row.
            std::memset(to + layer.in * layer.columns(), 0,
                        size_t((up(layer.in, 8) - layer.in) * layer.columns()) * 4);
            sum_rows(d, ld(l), rows, layer, g);
            if (l > 0) {
                towards(w, l, slopes_[l - 1], ld(l - 1), rows);
                through_tanh(slopes_[l - 1], values_[l - 1], ld(l - 1), rows, layers_[l - 1]);
            }
        }
        if (to_input_) towards(w, 0, input_slope_, ld_input_slope(), rows);
    }

private:
    static float* zeros(Arena& arena, int64_t count) {
        float* piece = arena.take<float>(count);
        if (piece) std::memset(piece, 0, size_t(count) * 4);
        return piece;
    }
    int64_t ld(size_t l) const { return layers_[l].columns() + PAD; }
    int64_t ld_turned(size_t l) const { return up(layers_[l].in, 32) + PAD; }
    void towards(const float* w, size_t l, float* to, int64_t ldt, int64_t rows) {
        const Dense& layer = layers_[l];
        transpose(w + layer.weights, layer.columns(), turned_[l], ld_turned(l), layer.rows(),
                  layer.columns());
        product(to, ldt, Left{slopes_[l], ld(l), 1}, turned_[l], ld_turned(l), up(rows, 8),
                up(layer.in, 32), layer.out);
    }
    const std::vector<Dense>& layers_;
    bool to_input_;
    std::vector<float*> values_, slopes_, turned_;
    float* input_slope_ = nullptr;
};

// Which layers go with an engine of the spatial decoder.
template <class Engine> struct DenseOf {
    using Layers = Perceptron;
};

}  // namespace
