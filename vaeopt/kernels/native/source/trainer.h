// Epochs of training: steps of Adam on the batches of one or several members.
//
// A thread computes the gradients of its rows of a batch, waits for the others, and moves its part
// of the weights by the sum. Several members are given to groups of threads, one member each.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "layout.h"
#include "memory.h"
#include "step.h"
#include "threads.h"

extern "C" {
// The same fields, in the same order, stand in training/native.py.
struct Member {
    float *weights, *first_moment, *second_moment;  // flat, see Layout
    const int64_t* order;                           // (patches) rows of the image array
    const float* noise;                             // (patches, latents), in that order
    const int64_t* pixels;                          // (steps, seen) that count, or null: all do
    int64_t seen;
    int64_t steps;                                  // done so far; moved on
    double loss;                                    // out: sum over the patches [nats]
};
}

namespace {

class Barrier {
public:
    explicit Barrier(int64_t count) : count_(count) {}
    void wait() {
        const int64_t turn = turn_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count_) {
            arrived_.store(0, std::memory_order_relaxed);
            std::lock_guard<std::mutex> guard(mutex_);
            turn_.store(turn + 1, std::memory_order_release);
            if (asleep_ > 0) wake_.notify_all();
            return;
        }
        // The others are microseconds away, unless the machine is busy: then they need the core.
        for (int tries = 0; tries < 20000; ++tries)
            if (turn_.load(std::memory_order_acquire) != turn) return;
        std::unique_lock<std::mutex> lock(mutex_);
        ++asleep_;
        wake_.wait(lock, [&] { return turn_.load(std::memory_order_relaxed) != turn; });
        --asleep_;
    }

private:
    const int64_t count_;
    std::atomic<int64_t> arrived_{0}, turn_{0};
    std::mutex mutex_;
    std::condition_variable wake_;
    int64_t asleep_ = 0;
};

struct Rate {  // of Adam: step size, and what the root of the second moment is multiplied with
    float size, root;
    Rate(double learning_rate, int64_t step)
        : size(float(learning_rate / (1 - std::pow(0.9, double(step))))),
          root(float(1 / std::sqrt(1 - std::pow(0.999, double(step))))) {}
};

// torch.optim.Adam with its defaults, on some of the weights: whole vectors of them.
inline void adam(const Member& member, const std::vector<float*>& gradients, float scale, Rate rate,
                 int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i += LANES) {
        Vec slope = at(gradients[0] + i);
        for (size_t t = 1; t < gradients.size(); ++t) slope += at(gradients[t] + i);
        slope *= scale;
        Vec &m = at(member.first_moment + i), &v = at(member.second_moment + i);
        m += (slope - m) * 0.1f;
        v = v * 0.999f + slope * slope * 0.001f;
        at(member.weights + i) -= quotient(m * rate.size, root(v) * rate.root + 1e-8f);
    }
}

// Threads that train one member together.
template <class Engine> class Group {
public:
    Group(const Recipe& q, const Layout& layout, int64_t threads, int64_t number)
        : q_(q), layout_(layout), barrier_(threads), losses_(size_t(threads)) {
        const int64_t capacity = (q.batch + threads - 1) / threads;
        Arena counted(nullptr);
        lay_out(counted, threads, capacity);
        // One piece of memory for each group, kept between calls.
        thread_local std::vector<std::unique_ptr<Block>> blocks;
        while (int64_t(blocks.size()) <= number) blocks.push_back(std::make_unique<Block>());
        Arena arena(blocks[size_t(number)]->at_least(counted.used()));
        lay_out(arena, threads, capacity);
    }
    int64_t threads() const { return int64_t(gradients_.size()); }

    // What thread number `self` does for a member; all threads of the group do it together.
    void train(int64_t self, Member& member, const float* image, int64_t patches,
               double learning_rate) {
        const int64_t n = Layout::latents(q_);
        const int64_t share = up(layout_.floats / 16, threads()) / threads();
        const int64_t first = std::min(self * share * 16, layout_.floats);
        const int64_t last = std::min(first + share * 16, layout_.floats);
        double loss = 0;
        int64_t done = member.steps;
        const int64_t* pixels = member.pixels;
        for (int64_t start = 0; start < patches; start += q_.batch, ++done) {
            const int64_t rows = std::min(q_.batch, patches - start);
            const int64_t from = start + rows * self / threads();
            const int64_t to = start + rows * (self + 1) / threads();
            float* g = gradients_[size_t(self)];
            if (to > from)
                loss += steps_[size_t(self)]->run(member.weights, g, image, member.order + from,
                                                  member.noise + from * n, pixels, member.seen,
                                                  to - from);
            else
                std::memset(g, 0, size_t(layout_.floats) * 4);
            barrier_.wait();
            adam(member, gradients_, 1.0f / float(rows), Rate(learning_rate, done + 1), first,
                 last);
            if (pixels) pixels += member.seen;
            barrier_.wait();
        }
        losses_[size_t(self)] = loss;
        barrier_.wait();
        if (self > 0) return;
        member.steps = done;
        member.loss = 0;
        for (double part : losses_) member.loss += part;
    }

private:
    void lay_out(Arena& arena, int64_t threads, int64_t capacity) {
        gradients_.clear(), steps_.clear();
        for (int64_t t = 0; t < threads; ++t) {
            gradients_.push_back(arena.take<float>(layout_.floats));
            // Whatever stays padding has no gradient, and nobody writes it.
            if (gradients_.back())
                std::memset(gradients_.back(), 0, size_t(layout_.floats) * 4);
            steps_.push_back(std::make_unique<Step<Engine>>(arena, q_, layout_, capacity));
        }
    }
    const Recipe& q_;
    const Layout& layout_;
    Barrier barrier_;
    std::vector<double> losses_;
    std::vector<float*> gradients_;
    std::vector<std::unique_ptr<Step<Engine>>> steps_;
};

template <class Engine>
void train(Recipe q, const float* image, int64_t patches, Member* members, int64_t count,
           double learning_rate, int64_t threads) {
    q.batch = std::min(q.batch, patches);  // memory is that of a batch
    const Layout layout(q);
    const int64_t groups = std::min(count, threads);
    threads = std::min(threads / groups, q.batch);
    std::vector<std::unique_ptr<Group<Engine>>> teams;  // their memory, before any thread starts
    for (int64_t i = 0; i < groups; ++i)
        teams.push_back(std::make_unique<Group<Engine>>(q, layout, threads, i));
    together(groups * threads, [&](int64_t number) {
        const int64_t group = number / threads;
        for (int64_t i = group; i < count; i += groups)
            teams[size_t(group)]->train(number % threads, members[i], image, patches,
                                        learning_rate);
    });
}

}  // namespace
