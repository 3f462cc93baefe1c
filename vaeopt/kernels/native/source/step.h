// Loss and gradients of one training step, for one thread's share of a batch.
#pragma once

#include <cmath>
#include <cstring>

#include "decoder.h"
#include "dense.h"
#include "dense_bf16.h"
#include "layout.h"
#include "likelihood.h"

namespace {

// Coordinates g become turn g + shift: rotation, then scale, then translation.
struct Placement {
    float turn[2][2] = {{1, 0}, {0, 1}};
    float shift[2] = {0, 0};
};

// Codes of a patch to its pose, and slopes by the pose to slopes by the codes.
class PlacementMap {
public:
    explicit PlacementMap(const Recipe& q)
        : rotation_(q.rotation_sd), translation_(q.translation_sd), scale_(q.scale_sd) {}
    Placement pose(const float* codes) const {
        Placement out;
        if (rotation_ > 0) {
            const float angle = float(*codes++ * rotation_);
            const float c = std::cos(angle), s = std::sin(angle);
            out.turn[0][0] = out.turn[1][1] = c;
            out.turn[0][1] = -s, out.turn[1][0] = s;
        }
        if (translation_ > 0)
            for (float& shift : out.shift) shift = float(*codes++ * translation_);
        if (scale_ > 0)
            for (auto& row : out.turn)
                for (float& x : row) x *= float(1 + *codes * scale_);
        return out;
    }
    void slopes(const float* codes, const Placement& pose, const Placement& by, float* to) const {
        const auto& t = pose.turn;
        if (rotation_ > 0) {  // a further turn takes (c, s) to (-s, c)
            const float by_angle = by.turn[0][0] * -t[1][0] + by.turn[0][1] * -t[1][1] +
                                   by.turn[1][0] * t[0][0] + by.turn[1][1] * t[0][1];
            *to++ = float(rotation_ * by_angle);
            ++codes;
        }
        if (translation_ > 0)
            for (float shift : by.shift) *to++ = float(translation_ * shift), ++codes;
        if (scale_ > 0) {
            // Without the scale: the map is (1 + s) times it, which may be 0.
            const Placement upright = PlacementMap(rotation_, 0, 0).pose(codes - before_scale());
            float total = 0;
            for (int i = 0; i < 2; ++i)
                for (int j = 0; j < 2; ++j) total += by.turn[i][j] * upright.turn[i][j];
            *to = float(scale_ * total);
        }
    }

private:
    PlacementMap(double rotation, double translation, double scale)
        : rotation_(rotation), translation_(translation), scale_(scale) {}
    int64_t before_scale() const { return (rotation_ > 0) + 2 * (translation_ > 0); }
    double rotation_, translation_, scale_;  // in float32, a narrow prior would be none
};

template <class Engine> class Step {
public:
    Step(Arena& arena, const Recipe& q, const Layout& layout, int64_t capacity)
        : q_(q), layout_(layout), n_(Layout::latents(q)), codes_(Layout::codes(q)),
          wide_(padded(q.width)), noise_{q.likelihood, q.gaussian_sd}, poses_of_(q),
          encoder_(arena, layout.encoder, capacity, false),
          decoder_(arena, layout.decoder, capacity, !q.spatial) {
        // Products read eight rows at a time, and a little beyond the last number of a row.
        const int64_t rows = up(capacity, 8);
        images_ = arena.take<float>(rows * q.pixels + 16);
        sample_ = arena.take<float>(rows * n_ + 16);
        by_sample_ = arena.take<float>(rows * n_);
        nll_ = arena.take<float>(rows);
        if (sample_) std::memset(sample_, 0, size_t(rows * n_ + 16) * 4);
        if (images_) std::memset(images_, 0, size_t(rows * q.pixels + 16) * 4);
        seen_image_ = arena.take<float>(q.spatial ? rows * q.pixels : 0);
        counted_.resize(q.spatial ? 0 : size_t(up(q.pixels, LANES)));
        seen_grid_.resize(q.spatial ? size_t(2 * q.pixels) : 0);
        poses_.resize(size_t(rows));
        scratch_ = arena.take<char>(q.spatial ? int64_t(share_bytes(capacity)) : 0);
    }
    // Sum of the losses of these patches [nats]; the gradients of that sum are written to g. The
    // likelihood is that of all pixels, or is estimated from the `seen` ones numbered by `pixels`.
    double run(const float* w, float* g, const float* image, const int64_t* order,
               const float* noise, const int64_t* pixels, int64_t seen, int64_t rows) {
        for (int64_t r = 0; r < rows; ++r)
            std::memcpy(images_ + r * q_.pixels, image + order[r] * q_.pixels,
                        size_t(q_.pixels) * 4);
        encoder_.forward(w, images_, q_.pixels, rows);
        draw(noise, rows);
        look_at(pixels, seen, rows);
        double loss = q_.spatial ? spatial(w, g, rows) : vanilla(w, g, rows);
        loss += penalty(noise, rows);
        encoder_.backward(w, g, images_, q_.pixels, rows);
        return loss;
    }

private:
    static float softplus(float s) {
        return std::max(s, 0.0f) + std::log1p(std::exp(-std::fabs(s)));
    }
    const float* heads(int64_t r) { return encoder_.output() + r * encoder_.ld_output(); }

    void draw(const float* noise, int64_t rows) {
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t u = 0; u < n_; ++u) {
                const float sd = softplus(heads(r)[n_ + u]);
                sample_[r * n_ + u] = heads(r)[u] + sd * noise[r * n_ + u];
            }
    }
    // What the decoder is asked for and compared with; a weight makes the sum that over all pixels.
    void look_at(const int64_t* pixels, int64_t seen, int64_t rows) {
        seen_ = pixels ? seen : q_.pixels;
        factor_ = float(q_.pixels) / float(seen_);
        counts_ = pixels ? counted_.data() : nullptr;
        target_ = images_, grid_ = q_.grid;
        if (!pixels) return;
        if (!q_.spatial) {
            std::fill(counted_.begin(), counted_.end(), 0.0f);
            for (int64_t i = 0; i < seen; ++i) counted_[size_t(pixels[i])] = factor_;
            return;
        }
        for (int64_t i = 0; i < seen; ++i)
            std::memcpy(&seen_grid_[size_t(2 * i)], q_.grid + 2 * pixels[i], 8);
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t i = 0; i < seen; ++i)
                seen_image_[r * seen + i] = images_[r * q_.pixels + pixels[i]];
        target_ = seen_image_, grid_ = seen_grid_.data();
    }
    // The weighted KL of these rows; slopes by the sample become those by what the encoder says.
    double penalty(const float* noise, int64_t rows) {
        const float weight = float(q_.kl_weight);
        double total = 0;
        for (int64_t r = 0; r < rows; ++r) {
            float* slope = encoder_.output_slope() + r * encoder_.ld_output();
            for (int64_t u = 0; u < n_; ++u) {
                const float mean = heads(r)[u], raw = heads(r)[n_ + u], sd = softplus(raw);
                const float e = noise[r * n_ + u], z = sample_[r * n_ + u];
                float by_z = by_sample_[r * n_ + u], by_mean = 0, by_sd;
                if (q_.sampled_kl) {
                    total += (z * z - e * e) / 2 - std::log(sd);
                    by_z += weight * z;
                    by_sd = -weight / sd;
                } else {
                    total += (mean * mean + sd * sd - 1) / 2 - std::log(sd);
                    by_mean = weight * mean;
                    by_sd = weight * (sd - 1 / sd);
                }
                slope[u] = by_mean + by_z;
                slope[n_ + u] = (by_sd + by_z * e) / (1 + std::exp(-raw));
            }
        }
        return total * q_.kl_weight;
    }

    double vanilla(const float* w, float* g, int64_t rows) {
        decoder_.forward(w, sample_, n_, rows);
        const int64_t ld = decoder_.ld_output();
        double total = 0;
        for (int64_t r = 0; r < rows; ++r) {
            float *slope = decoder_.output_slope() + r * ld, sum_of_row = 0;
            const float *logit = decoder_.output() + r * ld, *image = images_ + r * q_.pixels;
            int64_t p = 0;
            for (; p + LANES <= q_.pixels; p += LANES) {
                Vec x, loss;
                std::memcpy(&x, image + p, sizeof x);
                likelihood(noise_, at(logit + p), x, loss, at(slope + p));
                if (counts_) {
                    Vec weight;
                    std::memcpy(&weight, counts_ + p, sizeof weight);
                    loss *= weight;
                    at(slope + p) *= weight;
                }
                sum_of_row += sum(loss);
            }
            if (p < q_.pixels) {
                Vec x = {}, loss, by_logit;
                std::memcpy(&x, image + p, size_t(q_.pixels - p) * 4);
                likelihood(noise_, at(logit + p), x, loss, by_logit);
                for (int64_t i = 0; i < LANES; ++i) {
                    const bool real = p + i < q_.pixels;
                    const float weight = real ? (counts_ ? counts_[p + i] : 1) : 0;
                    if (real) sum_of_row += loss[i] * weight;
                    slope[p + i] = real ? by_logit[i] * weight : 0;
                }
            }
            total += sum_of_row;
        }
        decoder_.backward(w, g, sample_, n_, rows);
        for (int64_t r = 0; r < rows; ++r)
            std::memcpy(by_sample_ + r * n_, decoder_.input_slope() + r * decoder_.ld_input_slope(),
                        size_t(n_) * 4);
        return total;
    }

    // ---- spatial decoder

    Problem problem(const float* w, int64_t rows) {
        weights_.clear(), biases_.clear();
        for (const Dense& layer : layout_.hidden) {
            weights_.push_back(w + layer.weights);
            biases_.push_back(w + layer.biases);
        }
        Problem p{};
        p.patches = rows, p.pixels = seen_, p.width = q_.width, p.depth = q_.depth;
        p.likelihood = q_.likelihood, p.gaussian_sd = q_.gaussian_sd, p.gradients = 1;
        p.grid = grid_, p.image = target_, p.nll = nll_, p.threads = 1;
        p.weights = weights_.data(), p.biases = biases_.data();
        p.out_weight = w + layout_.out.weights, p.out_bias = w + layout_.out.biases;
        return p;
    }
    size_t share_bytes(int64_t rows) {
        const Problem p = problem(nullptr, rows);
        Arena counted(nullptr);
        Common<Engine> common{p, {}, {}, nullptr};
        Team<Engine> team;
        lay_out(counted, common, team);
        return counted.used() + 64;
    }
    double spatial(const float* w, float* g, int64_t rows) {
        const Problem p = problem(w, rows);
        Arena arena(scratch_);
        Common<Engine> common{p, {}, {}, nullptr};
        Team<Engine> team;
        lay_out(arena, common, team);
        Share<Engine>& share = *team.shares.front();
        share.clear();
        for (int64_t r = 0; r < rows; ++r) place(w, r, share.pose(r));
        share.pass();
        for (size_t l = 0; l < layout_.hidden.size(); ++l) {
            const Dense& layer = layout_.hidden[l];
            for (int64_t j = 0; j < layer.out; ++j)
                std::memcpy(g + layer.weights + j * layer.in,
                            share.weight_sum(int64_t(l)) + j * (wide_ + PAD),
                            size_t(layer.in) * 4);
            std::memcpy(g + layer.biases, share.bias_sum(int64_t(l)), size_t(layer.out) * 4);
        }
        std::memcpy(g + layout_.out.weights, share.out_weight_sum(), size_t(q_.width) * 4);
        g[layout_.out.biases] = sum(at(share.out_bias_sum()));
        // These are the last of the flat array.
        for (int64_t i = layout_.hidden[0].weights; i < layout_.floats; ++i) g[i] *= factor_;
        for (const Dense* layer : {&layout_.coordinates, &layout_.content})
            std::memset(g + layer->weights, 0,
                        size_t(layer->rows() * layer->columns() + layer->columns()) * 4);
        double total = 0;
        for (int64_t r = 0; r < rows; ++r) {
            take_back(w, g, r, share.pose_slope(r));
            total += nll_[r];
        }
        return total * factor_;
    }
    // What the first layer sees of a patch: W (turn g + shift) + b + V z = (W turn) g + (...).
    void place(const float* w, int64_t r, float* pose) {
        const float* z = sample_ + r * n_;
        const Placement p = poses_[size_t(r)] = poses_of_.pose(z);
        const float *down = w + layout_.coordinates.weights, *left = down + wide_;
        const float *bias = w + layout_.coordinates.biases, *content = w + layout_.content.weights;
        for (int64_t j = 0; j < wide_; j += LANES) {
            const Vec a = at(down + j), b = at(left + j);
            at(pose + j) = a * p.turn[0][0] + b * p.turn[1][0];
            at(pose + wide_ + j) = a * p.turn[0][1] + b * p.turn[1][1];
            Vec offset = at(bias + j) + a * p.shift[0] + b * p.shift[1];
            for (int64_t k = 0; k < q_.latent_dim; ++k)
                offset += at(content + k * wide_ + j) * z[codes_ + k];
            at(pose + 2 * wide_ + j) = offset;
        }
    }
    // Slopes by what the first layer sees, to those by its weights and by the sample.
    void take_back(const float* w, float* g, int64_t r, const float* slope) {
        const float* z = sample_ + r * n_;
        float* by_z = by_sample_ + r * n_;
        const Placement& p = poses_[size_t(r)];
        const float *down = w + layout_.coordinates.weights, *left = down + wide_;
        const float* content = w + layout_.content.weights;
        float *to_down = g + layout_.coordinates.weights, *to_left = to_down + wide_;
        float *to_bias = g + layout_.coordinates.biases, *to_content = g + layout_.content.weights;
        Vec turn[2][2] = {}, shift[2] = {};
        for (int64_t j = 0; j < wide_; j += LANES) {
            const Vec a = at(down + j), b = at(left + j);
            const Vec s = at(slope + j) * factor_, t = at(slope + wide_ + j) * factor_;
            const Vec o = at(slope + 2 * wide_ + j) * factor_;
            at(to_down + j) += s * p.turn[0][0] + t * p.turn[0][1] + o * p.shift[0];
            at(to_left + j) += s * p.turn[1][0] + t * p.turn[1][1] + o * p.shift[1];
            at(to_bias + j) += o;
            turn[0][0] += s * a, turn[0][1] += t * a, turn[1][0] += s * b, turn[1][1] += t * b;
            shift[0] += o * a, shift[1] += o * b;
        }
        for (int64_t k = 0; k < q_.latent_dim; ++k) {
            Vec total = {};
            for (int64_t j = 0; j < wide_; j += LANES) {
                const Vec o = at(slope + 2 * wide_ + j) * factor_;
                at(to_content + k * wide_ + j) += o * z[codes_ + k];
                total += o * at(content + k * wide_ + j);
            }
            by_z[codes_ + k] = sum(total);
        }
        const Placement by{{{sum(turn[0][0]), sum(turn[0][1])}, {sum(turn[1][0]), sum(turn[1][1])}},
                      {sum(shift[0]), sum(shift[1])}};
        poses_of_.slopes(z, p, by, by_z);
    }

    const Recipe& q_;
    const Layout& layout_;
    const int64_t n_, codes_, wide_;
    const PixelNoise noise_;
    const PlacementMap poses_of_;
    typename DenseOf<Engine>::Layers encoder_, decoder_;
    float *images_, *sample_, *by_sample_, *nll_;
    char* scratch_;
    std::vector<Placement> poses_;
    // Pixels that a step looks at: their number, weight, coordinates and values; of a vanilla
    // decoder, the weights of all pixels.
    int64_t seen_ = 0;
    float factor_ = 1, *seen_image_;
    const float *grid_ = nullptr, *target_ = nullptr, *counts_ = nullptr;
    std::vector<float> seen_grid_, counted_;
    std::vector<const float*> weights_, biases_;
};

}  // namespace
