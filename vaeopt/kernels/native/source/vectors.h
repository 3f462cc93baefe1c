// Vectors of the widest kind that the processor has, and functions of them.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif
#if defined(__AVX512BF16__) && defined(__AVX512BW__)
#define HAS_BF16 1
#endif
#if defined(HAS_BF16) && defined(__AMX_BF16__) && defined(__linux__)
#define HAS_AMX 1
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif
typedef float Vec __attribute__((vector_size(LANES * 4), may_alias));
typedef int32_t IVec __attribute__((vector_size(LANES * 4), may_alias));

constexpr int64_t STRIP = 64;  // rows that go through the network together
constexpr int64_t BLOCK = 16;  // rows and columns of a product that are finished together
constexpr int64_t PAD = 16;    // floats after each row, so that rows do not share cache sets

inline Vec splat(float x) { return x - Vec{}; }  // not x + 0, which turns -0 into 0
inline Vec& at(float* p) { return *reinterpret_cast<Vec*>(p); }
inline const Vec& at(const float* p) { return *reinterpret_cast<const Vec*>(p); }
inline float sum(Vec v) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps(v);
#else
    float total = 0;
    for (int i = 0; i < LANES; ++i) total += v[i];
    return total;
#endif
}

// Not a number stays one, so that a training that diverges is seen.
inline Vec clamp(Vec x, float low, float high) {
#if defined(__AVX512F__)
    return _mm512_min_ps(_mm512_set1_ps(high), _mm512_max_ps(_mm512_set1_ps(low), x));
#else
    x = x < splat(low) ? splat(low) : x;
    return x > splat(high) ? splat(high) : x;
#endif
}

inline Vec quotient(Vec a, Vec b) {
#if defined(__AVX512F__)
    // One Newton step on the reciprocal of 14 bits, then one on the quotient: the division
    // instruction is several times slower.
    const __m512 two = _mm512_set1_ps(2);
    __m512 r = _mm512_rcp14_ps(b);
    r = _mm512_mul_ps(r, _mm512_fnmadd_ps(b, r, two));
    const __m512 q = _mm512_mul_ps(a, r);
    return _mm512_fmadd_ps(_mm512_fnmadd_ps(b, q, a), r, q);
#else
    return a / b;
#endif
}

inline Vec root(Vec v) {
#if defined(__AVX512F__)
    return _mm512_sqrt_ps(v);
#else
    for (int i = 0; i < LANES; ++i) v[i] = std::sqrt(v[i]);
    return v;
#endif
}

// Rational approximation of degrees 13 and 6 (the one of Eigen), a few units in the last place.
inline Vec tanh_exact(Vec x) {
    x = clamp(x, -7.99881172f, 7.99881172f);
    const Vec s = x * x;
    Vec p = splat(-2.76076847742355e-16f);
    p = p * s + 2.00018790482477e-13f;
    p = p * s + -8.60467152213735e-11f;
    p = p * s + 5.12229709037114e-08f;
    p = p * s + 1.48572235717979e-05f;
    p = p * s + 6.37261928875436e-04f;
    p = p * s + 4.89352455891786e-03f;
    Vec q = splat(1.19825839466702e-06f);
    q = q * s + 1.18534705686654e-04f;
    q = q * s + 2.26843463243900e-03f;
    q = q * s + 4.89352518554385e-03f;
    return quotient(x * p, q);
}

inline Vec exp_negative(Vec x) {  // x <= 0
    x = clamp(x, -87.0f, 0.0f);
    const Vec magic = splat(12582912.0f);  // 1.5 * 2^23: rounds to a whole number
    const Vec k = (x * 1.44269504088896341f + magic) - magic;
    const Vec r = (x - k * 0.693359375f) - k * -2.12194440e-4f;
    Vec p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    const IVec exponent = (__builtin_convertvector(k, IVec) + 127) << 23;
    return p * (Vec)exponent;  // the same bits
}

inline Vec log1p_unit(Vec e) {  // log(1 + e), 0 <= e <= 1, as 2 artanh(e / (2 + e))
    const Vec z = quotient(e, e + 2.0f), s = z * z;
    Vec p = splat(2.0f / 15);
    p = p * s + 2.0f / 13;
    p = p * s + 2.0f / 11;
    p = p * s + 2.0f / 9;
    p = p * s + 2.0f / 7;
    p = p * s + 2.0f / 5;
    p = p * s + 2.0f / 3;
    p = p * s + 2.0f;
    return p * z;
}

}  // namespace
