// The same layers with products of bf16 numbers, summed in float32.
#pragma once

#include "bf16.h"
#include "dense.h"

#if defined(HAS_BF16)

namespace {

// A matrix (rows, columns) as products want it on their left and on their right; zeros up to
// multiples of 32.
struct Rounded {
    Tiles left, right;

    Rounded(Arena& arena, int64_t most_rows, int64_t columns)
        : left(tiles(arena, up(most_rows, 32), up(columns, 32))),
          right(tiles(arena, up(columns, 32), up(most_rows, 32))) {}

    void set(const float* from, int64_t ld, int64_t count, int64_t columns) {
        for (int64_t r = 0; r < up(count, 32); r += 2)
            for (int64_t j = 0; j < up(columns, 32); j += 16) {
                const __m512i two =
                    round_rows(part(from + r * ld, j, r < count ? columns : 0),
                               part(from + (r + 1) * ld, j, r + 1 < count ? columns : 0));
                store_halves(left.row(r, j), left.row(r + 1, j), two);
                _mm512_store_si512(right.pairs(j, r), pair_rows(two));
            }
    }

private:
    static __m512 part(const float* row, int64_t j, int64_t columns) {
        const int64_t left = std::max<int64_t>(0, std::min<int64_t>(16, columns - j));
        return _mm512_maskz_loadu_ps(__mmask16((1u << left) - 1), row + j);
    }
};

// Right of a matrix to left of the transposed one, or left to right: tile by tile.
inline void turn(Tiles from, Tiles to, int64_t outer, int64_t inner) {
    for (int64_t i = 0; i < outer; i += 16)
        for (int64_t step = 0; step < inner / 32; ++step)
            transpose16(from.panel(i) + step * TILE_PAIRS, 16, to.panel(i) + step * TILE_PAIRS, 16);
}

template <class Products> class RoundedPerceptron {
public:
    RoundedPerceptron(Arena& arena, const std::vector<Dense>& layers, int64_t capacity,
                      bool to_input)
        : layers_(layers), to_input_(to_input) {
        const int64_t rows = up(capacity, 32);
        for (size_t l = 0; l < layers.size(); ++l) {
            const Dense& layer = layers[l];
            values_.push_back(arena.take<float>(rows * ld(l)));
            slopes_.push_back(zeros(arena, rows * ld(l)));
            inputs_.emplace_back(arena, rows, layer.in);
            weights_.emplace_back(arena, layer.in, layer.out);
            by_output_.emplace_back(arena, rows, layer.out);
            turned_inputs_.push_back(tiles(arena, up(layer.in, 32), rows));
            turned_weights_.push_back(tiles(arena, up(layer.in, 32), layer.columns()));
        }
        if (to_input) input_slope_ = arena.take<float>(rows * ld_input_slope());
    }
    int64_t ld_output() const { return ld(layers_.size() - 1); }
    int64_t ld_input_slope() const { return ld_in(0); }
    float* output() { return values_.back(); }
    float* output_slope() { return slopes_.back(); }
    const float* input_slope() const { return input_slope_; }

    void forward(const float* w, const float* x, int64_t ldx, int64_t rows) {
        Products::begin();
        for (size_t l = 0; l < layers_.size(); ++l) {
            const Dense& layer = layers_[l];
            float* y = values_[l];
            inputs_[l].set(x, ldx, rows, layer.in);
            weights_[l].set(w + layer.weights, layer.columns(), layer.in, layer.columns());
            product(y, ld(l), inputs_[l].left, weights_[l].right, up(rows, 32), layer.columns(),
                    up(layer.in, 32));
            finish_layer(y, ld(l), rows, layer, w, l + 1 < layers_.size());
            x = y, ldx = ld(l);
        }
        Products::end();
    }
    void backward(const float*, float* g, const float*, int64_t, int64_t rows) {
        Products::begin();
        for (size_t l = layers_.size(); l-- > 0;) {
            const Dense& layer = layers_[l];
            const float* d = slopes_[l];
            by_output_[l].set(d, ld(l), rows, layer.columns());
            turn(inputs_[l].right, turned_inputs_[l], layer.rows(), up(rows, 32));
            product(g + layer.weights, layer.columns(), turned_inputs_[l], by_output_[l].right,
                    layer.rows(), layer.columns(), up(rows, 32));
            sum_rows(d, ld(l), rows, layer, g);
            if (l > 0) {
                towards(l, slopes_[l - 1], ld(l - 1), rows);
                through_tanh(slopes_[l - 1], values_[l - 1], ld(l - 1), rows, layers_[l - 1]);
            }
        }
        if (to_input_) towards(0, input_slope_, ld_input_slope(), rows);
        Products::end();
    }

private:
    static float* zeros(Arena& arena, int64_t count) {
        float* piece = arena.take<float>(count);
        if (piece) std::memset(piece, 0, size_t(count) * 4);
        return piece;
    }
    static void product(float* c, int64_t ldc, Tiles a, Tiles b, int64_t rows, int64_t columns,
                        int64_t inner) {
        for (int64_t r = 0; r < rows; ++r) std::memset(c + r * ldc, 0, size_t(columns) * 4);
        Products::add(c, ldc, a, b, rows, columns, inner);
    }
    int64_t ld(size_t l) const { return layers_[l].columns() + PAD; }
    int64_t ld_in(size_t l) const { return up(layers_[l].in, 32) + PAD; }
    void towards(size_t l, float* to, int64_t ldt, int64_t rows) {
        const Dense& layer = layers_[l];
        turn(weights_[l].left, turned_weights_[l], up(layer.in, 32), layer.columns());
        product(to, ldt, by_output_[l].left, turned_weights_[l], up(rows, 32), up(layer.in, 32),
                layer.columns());
    }
    const std::vector<Dense>& layers_;
    bool to_input_;
    std::vector<float*> values_, slopes_;
    std::vector<Rounded> inputs_, weights_, by_output_;
    std::vector<Tiles> turned_inputs_, turned_weights_;
    float* input_slope_ = nullptr;
};

template <class Products> struct DenseOf<Bf16<Products>> {
    using Layers = RoundedPerceptron<Products>;
};

}  // namespace

#endif  // HAS_BF16
