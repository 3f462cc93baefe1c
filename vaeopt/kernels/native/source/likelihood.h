// Loss of a pixel, and its slope by the logit.
#pragma once

#include "vectors.h"

namespace {

// log C and its slope, C the constant of the continuous Bernoulli; Taylor series where it is 0/0.
inline void continuous_constant(double l, double& value, double& slope) {
    if (std::fabs(l) < 2e-2) {
        value = std::log(2.0) + l * l / 12 - 7 * l * l * l * l / 1440;
        slope = l / 6 - 7 * l * l * l / 360;
    } else {
        value = std::log(l / std::tanh(l / 2));
        slope = 1 / l - 1 / std::sinh(l);
    }
}

struct PixelNoise {
    int64_t kind;  // 0 bernoulli, 1 continuous-bernoulli, 2 gaussian
    double sd;     // of the gaussian
};

inline void likelihood(const PixelNoise& noise, Vec l, Vec x, Vec& loss, Vec& slope) {
    const Vec magnitude = l < 0.0f ? -l : l;
    const Vec e = exp_negative(-magnitude);
    const Vec far = quotient(splat(1.0f), e + 1.0f);  // sigmoid(|l|)
    const Vec mean = l < 0.0f ? e * far : far;
    if (noise.kind == 2) {
        const float sd = float(noise.sd), constant = std::log(sd) + 0.918938533f;
        const Vec away = (mean - x) / sd;
        loss = away * away * 0.5f + constant;
        slope = away * (e * far * far) / sd;
        return;
    }
    const Vec positive = l < 0.0f ? Vec{} : l;
    loss = positive - l * x + log1p_unit(e);
    slope = mean - x;
    if (noise.kind == 1)
        for (int i = 0; i < LANES; ++i) {
            double value, by_logit;
            continuous_constant(l[i], value, by_logit);
            loss[i] -= float(value);
            slope[i] -= float(by_logit);
        }
}

}  // namespace
