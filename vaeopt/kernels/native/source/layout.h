// Where every weight of a VAE stands in one flat array, and the way from and to torch's tensors.
#pragma once

#include <cstring>
#include <vector>

#include "dense.h"

extern "C" {
// What the caller hands over; the same fields, in the same order, stand in training/native.py.
struct Recipe {
    int64_t pixels, width, depth, latent_dim, spatial;
    int64_t likelihood;  // PixelNoise::kind
    int64_t sampled_kl, bf16, batch;
    double gaussian_sd, kl_weight;                       // by what the KL of a patch is multiplied
    double rotation_sd, translation_sd, scale_sd;        // 0: not an invariance of this model
    const float* grid;                                   // (pixels, 2)
};
}

namespace {

struct Layout {
    std::vector<Dense> encoder;  // the last one gives means, then what softplus makes sds of
    std::vector<Dense> decoder;  // of a vanilla model; else those below
    Dense coordinates, content;  // both go into the first layer; content has no biases
    std::vector<Dense> hidden;   // as torch has them: (outputs, inputs), nothing padded
    Dense out;
    int64_t floats = 0;

    explicit Layout(const Recipe& q) {
        int64_t in = q.pixels;
        for (int64_t l = 0; l < q.depth; ++l, in = q.width) encoder.push_back(dense(in, q.width));
        encoder.push_back(dense(in, 2 * latents(q)));
        if (!q.spatial) {
            in = q.latent_dim;
            for (int64_t l = 0; l < q.depth; ++l, in = q.width)
                decoder.push_back(dense(in, q.width));
            decoder.push_back(dense(in, q.pixels));
            return;
        }
        coordinates = dense(2, q.width);
        content = dense(q.latent_dim, q.width);
        for (int64_t l = 0; l < q.depth; ++l)
            hidden.push_back(Dense{q.width, q.width, take(q.width * q.width), take(q.width)});
        out = Dense{q.width, 1, take(q.width), take(1)};
    }
    static int64_t codes(const Recipe& q) {
        return (q.rotation_sd > 0) + 2 * (q.translation_sd > 0) + (q.scale_sd > 0);
    }
    static int64_t latents(const Recipe& q) { return codes(q) + q.latent_dim; }

private:
    int64_t take(int64_t count) {
        const int64_t start = floats;
        floats += up(count, 16);
        return start;
    }
    Dense dense(int64_t in, int64_t out) {
        Dense layer{in, out, 0, 0};
        layer.weights = take(layer.rows() * layer.columns());
        layer.biases = take(layer.columns());
        return layer;
    }
};

// Copies between the flat array and tensors in the order of the model's state_dict.
class Copy {
public:
    Copy(float* flat, float* const* tensors, bool load) : w_(flat), next_(tensors), load_(load) {}
    void all(const Recipe& q, const Layout& layout) {
        for (size_t l = 0; l + 1 < layout.encoder.size(); ++l) both(layout.encoder[l]);
        const Dense& heads = layout.encoder.back();
        for (int64_t first : {int64_t(0), heads.out / 2}) {
            turned(heads, first, heads.out / 2);
            plain(heads.biases + first, heads.out / 2);
        }
        for (const Dense& layer : layout.decoder) both(layer);
        if (!q.spatial) return;
        both(layout.coordinates);
        turned(layout.content, 0, layout.content.out);
        for (const Dense& layer : layout.hidden) {
            plain(layer.weights, layer.in * layer.out);
            plain(layer.biases, layer.out);
        }
        plain(layout.out.weights, layout.out.in);
        plain(layout.out.biases, 1);
    }

private:
    void both(const Dense& layer) {
        turned(layer, 0, layer.out);
        plain(layer.biases, layer.out);
    }
    void plain(int64_t start, int64_t count) {
        float* tensor = *next_++;
        float* flat = w_ + start;
        std::memcpy(load_ ? flat : tensor, load_ ? tensor : flat, size_t(count) * 4);
    }
    void turned(const Dense& layer, int64_t first, int64_t outputs) {
        float* tensor = *next_++;
        for (int64_t j = 0; j < outputs; ++j)
            for (int64_t i = 0; i < layer.in; ++i) {
                float& flat = w_[layer.weights + i * layer.columns() + first + j];
                (load_ ? flat : tensor[j * layer.in + i]) = load_ ? tensor[j * layer.in + i] : flat;
            }
    }
    float* w_;
    float* const* next_;
    bool load_;
};

}  // namespace
