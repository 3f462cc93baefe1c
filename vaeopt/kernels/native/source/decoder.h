// Loss of the spatial decoder and all of its gradients in one pass over tiles of pixels.
//
// A row is one pixel of one patch. Rows pass through the network in strips that stay in the cache,
// forwards and straight back, because the slope of a pixel's loss needs that pixel only; nothing
// is kept per pixel but what the products for the gradients of the weights need, one tile long.
//
// Widths are padded with zeros to multiples of 32: a unit with zero weights is tanh(0) = 0, passes
// nothing on and gets no gradient. Sums run in an order that depends on the number of threads only.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

#include "bf16.h"
#include "float32.h"
#include "likelihood.h"
#include "memory.h"
#include "vectors.h"

extern "C" {
struct Problem {
    int64_t patches, pixels, width, depth;
    int64_t likelihood;  // PixelNoise::kind
    int64_t bf16, threads, gradients;
    double gaussian_sd;
    const float *linear, *offset;  // (n, width, 2) and (n, width)
    const float *grid, *image;     // (pixels, 2) and (n, pixels)
    const float *const *weights, *const *biases;  // depth times (width, width) and (width)
    const float *out_weight, *out_bias;           // (width) and (1)
    float* nll;                                   // (n)
    float *linear_slope, *offset_slope;           // as what they are slopes by
    float *const *weight_slopes, *const *bias_slopes;
    float *out_weight_slope, *out_bias_slope;
};
}

namespace {

// ---- one share: some patches, by one thread

struct Row {
    const float* pose;   // three vectors: factors of both coordinates, and offset
    float* pose_slope;   // the same
    float down, left;    // coordinates
};

struct Pose {  // of one patch, in LANES units
    Vec down, left, plain;
    Pose(const float* p, int64_t wide)
        : down(at(p)), left(at(p + wide)), plain(at(p + 2 * wide)) {}
    Vec at_row(const Row& row) const {
        return down * splat(row.down) + (left * splat(row.left) + plain);
    }
};

template <class Engine> struct Common {
    const Problem& q;
    std::vector<typename Engine::Weights> weights;
    std::vector<const float*> biases;
    const float* out_weight;
};

template <class Engine> class Share {
public:
    Share(Arena& arena, const Common<Engine>& common, int64_t first, int64_t last)
        : q_(common.q), noise_{q_.likelihood, q_.gaussian_sd}, common_(common), first_(first),
          last_(last), wide_(padded(q_.width)), ld_(wide_ + PAD),
          engine_(arena, q_.width, q_.depth) {
        pose_ = arena.take<float>((last - first) * 3 * wide_);
        pose_slope_ = arena.take<float>((last - first) * 3 * wide_);
        zeros_ = arena.take<float>(6 * wide_);
        sums_ = arena.take<float>(sums());
    }
    // Floats of the sums over rows: every layer's weights and biases, then those of the output.
    int64_t sums() const { return q_.depth * (wide_ * ld_ + wide_) + wide_ + LANES; }
    float* weight_sum(int64_t l) { return sums_ + l * (wide_ * ld_ + wide_); }
    float* bias_sum(int64_t l) { return weight_sum(l) + wide_ * ld_; }
    float* out_weight_sum() { return weight_sum(q_.depth); }
    float* out_bias_sum() { return out_weight_sum() + wide_; }

    // Three vectors of a patch, `wide` floats each: factors of both coordinates, and offset.
    float* pose(int64_t patch) { return pose_ + patch * 3 * wide_; }
    float* pose_slope(int64_t patch) { return pose_slope_ + patch * 3 * wide_; }

    void run() {
        clear();
        load();
        pass();
        if (q_.gradients) store();
    }
    void clear() {
        std::memset(zeros_, 0, size_t(6 * wide_) * 4);
        std::memset(pose_, 0, size_t((last_ - first_) * 3 * wide_) * 4);
        std::memset(pose_slope_, 0, size_t((last_ - first_) * 3 * wide_) * 4);
        std::memset(sums_, 0, size_t(sums()) * 4);
        losses_.assign(size_t(last_ - first_), 0.0);
    }
    // Loss and slopes of all rows, from the poses.
    void pass() {
        engine_.begin();
        const int64_t rows = (last_ - first_) * q_.pixels;
        for (int64_t tile = 0; tile < rows; tile += Engine::TILE) {
            int64_t row = 0;
            for (; row < Engine::TILE && tile + row < rows; row += STRIP) {
                engine_.strip(row);
                strip(tile + row, std::min(STRIP, rows - tile - row));
            }
            if (q_.gradients)
                for (int64_t l = 0; l < q_.depth; ++l)
                    engine_.weight_slope(l, row, weight_sum(l));
        }
        engine_.end();
    }

private:
    void load() {
        const int64_t width = q_.width;
        for (int64_t s = first_; s < last_; ++s) {
            float* to = pose(s - first_);
            for (int64_t j = 0; j < width; ++j) {
                to[j] = q_.linear[(s * width + j) * 2];
                to[wide_ + j] = q_.linear[(s * width + j) * 2 + 1];
                to[2 * wide_ + j] = q_.offset[s * width + j];
            }
        }
    }
    void store() {
        const int64_t width = q_.width;
        for (int64_t s = first_; s < last_; ++s) {
            const float* slope = pose_slope(s - first_);
            for (int64_t j = 0; j < width; ++j) {
                q_.linear_slope[(s * width + j) * 2] = slope[j];
                q_.linear_slope[(s * width + j) * 2 + 1] = slope[wide_ + j];
                q_.offset_slope[s * width + j] = slope[2 * wide_ + j];
            }
        }
    }

    void strip(int64_t start, int64_t valid) {
        find_rows(start, valid);
        first_layer();
        const int64_t last = q_.depth - 1;
        for (int64_t l = 0; l < last; ++l)
            engine_.forward(l, common_.weights[l],
                            [this, l](int64_t i, int64_t j, const float* c, int64_t step) {
                                hidden_layer(l, i, j, c, step);
                            });
        std::memset(totals_, 0, sizeof totals_);
        engine_.forward(last, common_.weights[last],
                        [this](int64_t i, int64_t j, const float* c, int64_t step) {
                            last_layer(i, j, c, step);
                        });
        for (int64_t r = 0; r < STRIP; ++r) logit_[r] = sum(at(totals_[r])) + *q_.out_bias;
        losses(start, valid);
        if (!q_.gradients) return;
        output_slopes();
        for (int64_t l = last; l > 0; --l)
            engine_.backward(l, common_.weights[l],
                             [this, l](int64_t i, int64_t j, const float* c, int64_t step) {
                                 hidden_slopes(l, i, j, c, step);
                             });
        engine_.backward(0, common_.weights[0],
                         [this, valid](int64_t i, int64_t j, const float* c, int64_t step) {
                             pose_slopes(valid, i, j, c, step);
                         });
    }
    // Calls run(patch, pixel, first row, row behind the last) for every patch in the strip.
    template <class Run> void runs(int64_t start, int64_t valid, Run run) const {
        int64_t s = start / q_.pixels, p = start % q_.pixels;
        for (int64_t r = 0, end; r < valid; r = end, p = 0, ++s) {
            end = std::min(valid, r + q_.pixels - p);
            run(s, p, r, end);
        }
    }
    void find_rows(int64_t start, int64_t valid) {
        runs(start, valid, [this](int64_t s, int64_t p, int64_t r, int64_t end) {
            Row row{pose(s), pose_slope(s), 0, 0};
            const float *grid = q_.grid + 2 * p, *image = q_.image + (first_ + s) * q_.pixels + p;
            std::memcpy(target_ + r, image, size_t(end - r) * 4);
            for (; r < end; ++r, grid += 2) {
                row.down = grid[0], row.left = grid[1];
                rows_[r] = row;
            }
        });
        for (int64_t r = valid; r < STRIP; ++r) {  // empty rows fill up the last strip
            rows_[r] = Row{zeros_, zeros_ + 3 * wide_, 0, 0};
            target_[r] = 0;
        }
    }
    void first_layer() {
        for (int64_t i = 0; i < STRIP; i += BLOCK)
            for (int64_t j = 0; j < wide_; j += LANES) {
                if (of_one_patch(i)) {
                    const Pose pose(rows_[i].pose + j, wide_);
                    first_block(i, j, [&pose](const Row&) { return pose; });
                } else {
                    first_block(i, j, [this, j](const Row& row) {
                        return Pose(row.pose + j, wide_);
                    });
                }
            }
    }
    template <class PoseOf> void first_block(int64_t i, int64_t j, PoseOf pose_of) {
        const typename Engine::Tanh tanh;
        const auto values = engine_.values(0, i, j);
#pragma GCC unroll 8
        for (int64_t r = 0; r < BLOCK; r += 2) {
            const Row &one = rows_[i + r], &two = rows_[i + r + 1];
            values.put(r, tanh(pose_of(one).at_row(one)), tanh(pose_of(two).at_row(two)));
        }
    }
    bool of_one_patch(int64_t i) const { return rows_[i].pose == rows_[i + BLOCK - 1].pose; }
    // What follows on a product gets its block `c` of the rows from `i` and the units from `first`.
    void hidden_layer(int64_t l, int64_t i, int64_t first, const float* c, int64_t step) {
        const typename Engine::Tanh tanh;
        for (int64_t j = 0; j < BLOCK; j += LANES) {
            const Vec bias = at(common_.biases[l] + first + j);
            const auto values = engine_.values(l + 1, i, first + j);
#pragma GCC unroll 8
            for (int64_t r = 0; r < BLOCK; r += 2)
                values.put(r, tanh(at(c + r * step + j) + bias),
                           tanh(at(c + (r + 1) * step + j) + bias));
        }
    }
    void last_layer(int64_t i, int64_t first, const float* c, int64_t step) {
        const typename Engine::Tanh tanh;
        for (int64_t j = 0; j < BLOCK; j += LANES) {
            const Vec bias = at(common_.biases[q_.depth - 1] + first + j);
            const Vec weight = at(common_.out_weight + first + j);
            const auto values = engine_.values(q_.depth, i, first + j);
#pragma GCC unroll 8
            for (int64_t r = 0; r < BLOCK; r += 2) {
                const Vec x = tanh(at(c + r * step + j) + bias);
                const Vec y = tanh(at(c + (r + 1) * step + j) + bias);
                at(totals_[i + r]) += x * weight;
                at(totals_[i + r + 1]) += y * weight;
                values.put_last(r, x, y);
            }
        }
    }
    void losses(int64_t start, int64_t valid) {
        alignas(64) float loss[STRIP];
        for (int64_t r = 0; r < STRIP; r += LANES)
            likelihood(noise_, at(logit_ + r), at(target_ + r), at(loss + r), at(slope_ + r));
        runs(start, valid, [&](int64_t s, int64_t, int64_t r, int64_t end) {
            double total = losses_[size_t(s)];
            for (; r < end; ++r) total += loss[r];
            losses_[size_t(s)] = total;
            q_.nll[first_ + s] = float(total);
        });
        for (int64_t r = valid; r < STRIP; ++r) slope_[r] = 0;  // of empty rows
        Vec total = {};
        for (int64_t r = 0; r < STRIP; r += LANES) total += at(slope_ + r);
        at(out_bias_sum()) += total;
    }
    void output_slopes() {
        const int64_t l = q_.depth - 1;
        for (int64_t j = 0; j < wide_; j += LANES) {
            const Vec w = at(common_.out_weight + j);
            Vec by_weight = {}, by_bias = {};
            for (int64_t i = 0; i < STRIP; i += BLOCK) {
                const auto values = engine_.values(l + 1, i, j);
                Vec d[BLOCK];
#pragma GCC unroll 8
                for (int64_t r = 0; r < BLOCK; r += 2) {
                    Vec x, y;
                    values.get(r, x, y);
                    const Vec gx = splat(slope_[i + r]), gy = splat(slope_[i + r + 1]);
                    by_weight += gx * x + gy * y;
                    d[r] = through_tanh(gx * w, x);
                    d[r + 1] = through_tanh(gy * w, y);
                    by_bias += d[r] + d[r + 1];
                }
                engine_.put_slopes(l, i, j, d);
            }
            at(out_weight_sum() + j) += by_weight;
            at(bias_sum(l) + j) += by_bias;
        }
    }
    // Of layer l - 1, from the product with the weights of layer l.
    void hidden_slopes(int64_t l, int64_t i, int64_t first, const float* c, int64_t step) {
        for (int64_t j = 0; j < BLOCK; j += LANES) {
            Vec d[BLOCK], by_bias = {};
            slopes(l, i, first + j, c + j, step, d);
#pragma GCC unroll 16
            for (int64_t r = 0; r < BLOCK; ++r) by_bias += d[r];
            at(bias_sum(l - 1) + first + j) += by_bias;
            engine_.put_slopes(l - 1, i, first + j, d);
        }
    }
    static Vec through_tanh(Vec slope, Vec value) { return slope - slope * (value * value); }
    // By what goes into the tanh whose values go into layer l.
    void slopes(int64_t l, int64_t i, int64_t j, const float* c, int64_t step, Vec* d) const {
        const auto values = engine_.values(l, i, j);
#pragma GCC unroll 8
        for (int64_t r = 0; r < BLOCK; r += 2) {
            Vec x, y;
            values.get(r, x, y);
            d[r] = through_tanh(at(c + r * step), x);
            d[r + 1] = through_tanh(at(c + (r + 1) * step), y);
        }
    }
    void pose_slopes(int64_t valid, int64_t i, int64_t first, const float* c, int64_t step) {
        const bool together = of_one_patch(i);
        for (int64_t j = 0; j < BLOCK; j += LANES) {
            Vec d[BLOCK];
            slopes(0, i, first + j, c + j, step, d);
            if (together) {
                add_pose_slopes(i, i + BLOCK, first + j, d);
                continue;
            }
            const int64_t stop = std::min(valid, i + BLOCK);
            for (int64_t r = i, end; r < stop; r = end) {
                for (end = r + 1; end < stop && rows_[end].pose == rows_[r].pose;) ++end;
                add_pose_slopes(r, end, first + j, d + (r - i));
            }
        }
    }
    void add_pose_slopes(int64_t start, int64_t end, int64_t j, const Vec* d) {  // of one patch
        Vec down = {}, left = {}, plain = {};
        for (int64_t r = start; r < end; ++r, ++d) {
            down += *d * rows_[r].down;
            left += *d * rows_[r].left;
            plain += *d;
        }
        float* slope = rows_[start].pose_slope + j;
        at(slope) += down;
        at(slope + wide_) += left;
        at(slope + 2 * wide_) += plain;
    }

    const Problem& q_;
    const PixelNoise noise_;
    const Common<Engine>& common_;
    int64_t first_, last_, wide_, ld_;
    Engine engine_;
    float *pose_, *pose_slope_, *zeros_, *sums_;
    std::vector<double> losses_;
    Row rows_[STRIP];
    alignas(64) float totals_[STRIP][LANES];
    alignas(64) float target_[STRIP];
    alignas(64) float logit_[STRIP];
    alignas(64) float slope_[STRIP];
};

// ---- all shares

template <class Engine> struct Team {
    std::vector<std::unique_ptr<Share<Engine>>> shares;
    std::atomic<size_t> next{0};
    // Whoever comes takes the next share: on a busy machine a thread may come late.
    void work() {
        for (size_t i; (i = next++) < shares.size();) shares[i]->run();
    }
};

template <class Engine> void write_sums(const Problem& q, Team<Engine>& team) {
    const int64_t wide = padded(q.width), ld = wide + PAD, width = q.width;
    auto& first = *team.shares.front();
    for (size_t i = 1; i < team.shares.size(); ++i) {
        float *to = first.weight_sum(0), *from = team.shares[i]->weight_sum(0);
        for (int64_t k = 0; k < first.sums(); k += LANES) at(to + k) += at(from + k);
    }
    for (int64_t l = 0; l < q.depth; ++l) {
        for (int64_t j = 0; j < width; ++j)
            std::memcpy(q.weight_slopes[l] + j * width, first.weight_sum(l) + j * ld,
                        size_t(width) * 4);
        std::memcpy(q.bias_slopes[l], first.bias_sum(l), size_t(width) * 4);
    }
    std::memcpy(q.out_weight_slope, first.out_weight_sum(), size_t(width) * 4);
    *q.out_bias_slope = sum(at(first.out_bias_sum()));
}

template <class Engine> void lay_out(Arena& arena, Common<Engine>& common, Team<Engine>& team) {
    const Problem& q = common.q;
    const int64_t wide = padded(q.width);
    for (int64_t l = 0; l <= q.depth; ++l) {
        const float* from = l < q.depth ? q.biases[l] : q.out_weight;
        float* to = arena.take<float>(wide);
        if (to) {
            std::memset(to, 0, size_t(wide) * 4);
            std::memcpy(to, from, size_t(q.width) * 4);
        }
        if (l < q.depth) {
            common.biases.push_back(to);
            common.weights.push_back(Engine::pack(arena, q.weights[l], q.width));
        } else {
            common.out_weight = to;
        }
    }
    const int64_t shares = std::max<int64_t>(1, std::min(q.threads, q.patches));
    for (int64_t i = 0; i < shares; ++i)
        team.shares.push_back(std::make_unique<Share<Engine>>(
            arena, common, q.patches * i / shares, q.patches * (i + 1) / shares));
}

template <class Engine> void solve(const Problem& q) {
    thread_local Block block;
    size_t bytes;
    {
        Arena counted(nullptr);
        Common<Engine> common{q, {}, {}, nullptr};
        Team<Engine> team;
        lay_out(counted, common, team);
        bytes = counted.used();
    }
    Arena arena(block.at_least(bytes));
    Common<Engine> common{q, {}, {}, nullptr};
    Team<Engine> team;
    lay_out(arena, common, team);
    std::vector<std::thread> helpers;
    try {
        for (size_t i = 1; i < team.shares.size(); ++i)
            helpers.emplace_back([&team] { team.work(); });
    } catch (const std::system_error&) {  // no more threads: those that are there do the work
    }
    team.work();
    for (auto& helper : helpers) helper.join();
    if (q.gradients) write_sums(q, team);
}

}  // namespace
