// Loss of the spatial decoder and all of its gradients in one pass over tiles of pixels.
//
// A row is one pixel of one patch. Rows pass through the network in strips that stay in the cache,
// forwards and straight back, because the slope of a pixel's loss needs that pixel only; nothing
// is kept per pixel but what the products for the gradients of the weights need, one tile long.
//
// Widths are padded with zeros to multiples of 32: a unit with zero weights is tanh(0) = 0, passes
// nothing on and gets no gradient. Sums run in an order that depends on the number of threads only.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <vector>

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

// ---- what the caller hands over; the same fields, in the same order, stand in native.py

extern "C" {
struct Problem {
    int64_t patches, pixels, width, depth;
    int64_t likelihood;  // 0 bernoulli, 1 continuous-bernoulli, 2 gaussian
    int64_t bf16, threads, gradients;
    double gaussian_sd;
    const float *linear, *offset, *grid, *image;  // (n, width, 2) (n, width) (pixels, 2) (n, pixels)
    const float *const *weights, *const *biases;  // depth times (width, width) and (width)
    const float *out_weight, *out_bias;           // (width) and (1)
    float* nll;                                   // (n)
    float *linear_slope, *offset_slope;           // as what they are slopes by
    float *const *weight_slopes, *const *bias_slopes;
    float *out_weight_slope, *out_bias_slope;
};
}

namespace {

// ---- vectors

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
constexpr int64_t BLOCK = 32;  // rows and columns of a product that are finished together
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

// ---- likelihoods: loss of a pixel, and its slope by the logit

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

inline void likelihood(const Problem& q, Vec l, Vec x, Vec& loss, Vec& slope) {
    const Vec magnitude = l < 0.0f ? -l : l;
    const Vec e = exp_negative(-magnitude);
    const Vec far = quotient(splat(1.0f), e + 1.0f);  // sigmoid(|l|)
    const Vec mean = l < 0.0f ? e * far : far;
    if (q.likelihood == 2) {
        const float sd = float(q.gaussian_sd), constant = std::log(sd) + 0.918938533f;
        const Vec away = (mean - x) / sd;
        loss = away * away * 0.5f + constant;
        slope = away * (e * far * far) / sd;
        return;
    }
    const Vec positive = l < 0.0f ? Vec{} : l;
    loss = positive - l * x + log1p_unit(e);
    slope = mean - x;
    if (q.likelihood == 1)
        for (int i = 0; i < LANES; ++i) {
            double value, by_logit;
            continuous_constant(l[i], value, by_logit);
            loss[i] -= float(value);
            slope[i] -= float(by_logit);
        }
}

// ---- memory

class Arena {  // hands out pieces of one block, 64 bytes aligned; first pass without it: counts
public:
    explicit Arena(char* start) : start_(start), next_(0) {}
    template <class T> T* take(int64_t count) {
        T* piece = start_ ? reinterpret_cast<T*>(start_ + next_) : nullptr;
        next_ += (size_t(count) * sizeof(T) + 127) / 64 * 64;
        return piece;
    }
    size_t used() const { return next_; }

private:
    char* start_;
    size_t next_;
};

struct Block {  // grows and is kept between calls: new pages cost more than the arithmetic
    char* data = nullptr;
    size_t size = 0;
    char* at_least(size_t bytes) {
        if (bytes > size) {
            std::free(data);
            size = 0;
            bytes = (bytes + 4095) / 4096 * 4096;
            data = static_cast<char*>(std::aligned_alloc(4096, bytes));
            if (!data) throw std::bad_alloc();
            size = bytes;
        }
        return data;
    }
    ~Block() { std::free(data); }
};

int64_t padded(int64_t width) { return (width + 31) / 32 * 32; }

// ---- products in float32

// C (rows, columns) = or += A B; element (i, k) of A lies at a[i * row_step + k * column_step].
template <bool ADD>
inline void product(float* c, int64_t ldc, const float* a, int64_t row_step, int64_t column_step,
                    const float* b, int64_t ldb, int64_t rows, int64_t columns, int64_t inner) {
#if defined(__AVX__) && !defined(__AVX512F__)
    constexpr int MR = 4, NV = 2;  // 16 registers
#else
    constexpr int MR = 8, NV = 2;
#endif
    for (int64_t j = 0; j < columns; j += NV * LANES)
        for (int64_t i = 0; i < rows; i += MR) {
            Vec acc[MR][NV];
            for (int m = 0; m < MR; ++m)
                for (int v = 0; v < NV; ++v)
                    acc[m][v] = ADD ? at(c + (i + m) * ldc + j + v * LANES) : Vec{};
            const float *pa = a + i * row_step, *pb = b + j;
            for (int64_t k = 0; k < inner; ++k, pa += column_step, pb += ldb) {
                Vec row[NV];
                for (int v = 0; v < NV; ++v) row[v] = at(pb + v * LANES);
#pragma GCC unroll 8
                for (int m = 0; m < MR; ++m) {
                    const Vec value = splat(pa[m * row_step]);
#pragma GCC unroll 2
                    for (int v = 0; v < NV; ++v) acc[m][v] += value * row[v];
                }
            }
            for (int m = 0; m < MR; ++m)
                for (int v = 0; v < NV; ++v) at(c + (i + m) * ldc + j + v * LANES) = acc[m][v];
        }
}

// What an engine offers: hidden values and slopes of row pairs in its own number format, and the
// three products per layer. Layers count from 0; values[l] goes into layer l, slopes[l] is the
// slope of the loss by what comes out of it before the tanh.
class Float32 {
public:
    static constexpr int64_t TILE = 2 * STRIP;
    static constexpr bool ROUNDS = false;

    struct Weights {
        float *plain, *transposed;
    };
    static Weights pack(Arena& arena, const float* w, int64_t width) {
        const int64_t wide = padded(width), ld = wide + PAD;
        Weights out{arena.take<float>(wide * ld), arena.take<float>(wide * ld)};
        if (!out.plain) return out;
        std::memset(out.plain, 0, size_t(wide * ld) * 4);
        std::memset(out.transposed, 0, size_t(wide * ld) * 4);
        for (int64_t j = 0; j < width; ++j)
            for (int64_t k = 0; k < width; ++k) {
                out.plain[j * ld + k] = w[j * width + k];
                out.transposed[k * ld + j] = w[j * width + k];
            }
        return out;
    }

    Float32(Arena& arena, int64_t width, int64_t depth) : wide_(padded(width)), ld_(wide_ + PAD) {
        for (int64_t l = 0; l < depth; ++l) {
            values_.push_back(arena.take<float>(TILE * ld_));
            slopes_.push_back(arena.take<float>(TILE * ld_));
        }
    }
    void begin() {}
    void end() {}
    void strip(int64_t row) { first_ = row; }
    static Vec tanh(Vec x) { return tanh_exact(x); }
    void put_value(int64_t l, int64_t row, int64_t j, Vec x, Vec y) {
        float* p = values_[l] + (first_ + row) * ld_ + j;
        at(p) = x;
        at(p + ld_) = y;
    }
    void get_value(int64_t l, int64_t row, int64_t j, Vec& x, Vec& y) const {
        const float* p = values_[l] + (first_ + row) * ld_ + j;
        x = at(p);
        y = at(p + ld_);
    }
    void put_slope(int64_t l, int64_t row, int64_t j, Vec x, Vec y) {
        float* p = slopes_[l] + (first_ + row) * ld_ + j;
        at(p) = x;
        at(p + ld_) = y;
    }
    void slopes_done(int64_t) {}
    template <class Finish>
    void forward(int64_t l, const Weights& w, float* c, Finish finish) {
        product<false>(c, ld_, values_[l] + first_ * ld_, ld_, 1, w.transposed, ld_, STRIP, wide_,
                       wide_);
        finish_all(finish);
    }
    template <class Finish>
    void backward(int64_t l, const Weights& w, float* c, Finish finish) {
        product<false>(c, ld_, slopes_[l] + first_ * ld_, ld_, 1, w.plain, ld_, STRIP, wide_,
                       wide_);
        finish_all(finish);
    }
    void weight_slope(int64_t l, int64_t rows, float* c) {
        product<true>(c, ld_, slopes_[l], 1, ld_, values_[l], ld_, wide_, wide_, rows);
    }

private:
    template <class Finish> void finish_all(Finish finish) {
        for (int64_t j = 0; j < wide_; j += BLOCK)
            for (int64_t i = 0; i < STRIP; i += BLOCK) finish(i, j);
    }
    int64_t wide_, ld_, first_ = 0;
    std::vector<float*> values_, slopes_;
};

// ---- products of bf16 numbers, summed in float32

#if defined(HAS_BF16)

// tanh(x) = x q(|x|), q a parabola in each of 32 pieces round multiples of 1/4: error below 1e-4,
// bf16 rounds at 2e-3.
struct TanhTable {
    alignas(64) float c[3][32];
    TanhTable() {
        for (int i = 0; i < 32; ++i) {
            double x[3], f[3];  // interpolated at the nodes of Chebyshev
            for (int n = 0; n < 3; ++n) {
                x[n] = 0.25 * i + 0.125 * std::cos(M_PI * (2 * n + 1) / 6);
                f[n] = std::fabs(x[n]) < 1e-9 ? 1 : std::tanh(x[n]) / x[n];
            }
            const double d01 = (f[1] - f[0]) / (x[1] - x[0]), d12 = (f[2] - f[1]) / (x[2] - x[1]);
            const double d = (d12 - d01) / (x[2] - x[0]);
            c[0][i] = float(f[0] - x[0] * (d01 - x[1] * d));
            c[1][i] = float(d01 - (x[0] + x[1]) * d);
            c[2][i] = float(d);
        }
    }
};
const TanhTable TANH;

inline __m512 tanh_rounded(__m512 x) {
    x = clamp(x, -7.87f, 7.87f);
    const __m512 y = _mm512_abs_ps(x);
    // Rounded, 4 y ends up in the lowest bits, where the permutations look.
    const __m512i i = _mm512_castps_si512(
        _mm512_fmadd_ps(y, _mm512_set1_ps(4), _mm512_set1_ps(8388608.0f)));
    const auto coefficient = [i](const float* c) {
        return _mm512_permutex2var_ps(_mm512_load_ps(c), i, _mm512_load_ps(c + 16));
    };
    const __m512 c0 = coefficient(TANH.c[0]), c1 = coefficient(TANH.c[1]);
    const __m512 c2 = coefficient(TANH.c[2]);
    return _mm512_mul_ps(x, _mm512_fmadd_ps(_mm512_fmadd_ps(c2, y, c1), y, c0));
}

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

// Two rows as bf16: one after the other, and as pairs of numbers that stand below each other.
inline __m512i round_rows(__m512 x, __m512 y) {
    return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(y, x));
}
alignas(64) const uint16_t BESIDE[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                         21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                         11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
inline __m512i pair_rows(__m512i rows) {
    return _mm512_permutexvar_epi16(_mm512_load_si512(BESIDE), rows);
}

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
#endif

// A (rows, inner) bf16 by rows; B as pairs (inner / 2, columns). Steps count pairs of numbers.
struct VectorProducts {
    static void begin() {}
    static void end() {}
    template <bool ADD, class Finish>
    static void product(float* c, int64_t ldc, const int32_t* a, int64_t lda, const int32_t* b,
                        int64_t ldb, int64_t rows, int64_t columns, int64_t inner,
                        Finish finish) {
        for (int64_t j = 0; j < columns; j += 32)
            for (int64_t i = 0; i < rows; i += 8) {
                __m512 acc[8][2];
                for (int m = 0; m < 8; ++m)
                    for (int v = 0; v < 2; ++v)
                        acc[m][v] = ADD ? _mm512_load_ps(c + (i + m) * ldc + j + 16 * v)
                                        : _mm512_setzero_ps();
                for (int64_t k = 0; k < inner / 2; ++k) {
                    const __m512i b0 = _mm512_load_si512(b + k * ldb + j);
                    const __m512i b1 = _mm512_load_si512(b + k * ldb + j + 16);
#pragma GCC unroll 8
                    for (int m = 0; m < 8; ++m) {
                        const auto pair = reinterpret_cast<__m512bh>(
                            _mm512_set1_epi32(a[(i + m) * lda + k]));
                        acc[m][0] =
                            _mm512_dpbf16_ps(acc[m][0], pair, reinterpret_cast<__m512bh>(b0));
                        acc[m][1] =
                            _mm512_dpbf16_ps(acc[m][1], pair, reinterpret_cast<__m512bh>(b1));
                    }
                }
                for (int m = 0; m < 8; ++m)
                    for (int v = 0; v < 2; ++v)
                        _mm512_store_ps(c + (i + m) * ldc + j + 16 * v, acc[m][v]);
                if (i % BLOCK == BLOCK - 8) finish(i - i % BLOCK, j);
            }
    }
};

#if defined(HAS_AMX)
struct TileProducts {
    static void begin() {
        static const TileShapes shapes;
        _tile_loadconfig(&shapes);
    }
    static void end() { _tile_release(); }
    template <bool ADD, class Finish>
    static void product(float* c, int64_t ldc, const int32_t* a, int64_t lda, const int32_t* b,
                        int64_t ldb, int64_t rows, int64_t columns, int64_t inner,
                        Finish finish) {
        const int64_t sc = ldc * 4, sa = lda * 4, sb = ldb * 4;
        int64_t last_i = -1, last_j = 0;
        for (int64_t j = 0; j < columns; j += 32)
            for (int64_t i = 0; i < rows; i += 32) {
                float *c0 = c + i * ldc + j, *c1 = c0 + 16 * ldc;
                if (ADD) {
                    _tile_loadd(0, c0, sc);
                    _tile_loadd(1, c0 + 16, sc);
                    _tile_loadd(2, c1, sc);
                    _tile_loadd(3, c1 + 16, sc);
                } else {
                    _tile_zero(0);
                    _tile_zero(1);
                    _tile_zero(2);
                    _tile_zero(3);
                }
                const int32_t *pa = a + i * lda, *pb = b + j;
                for (int64_t k = 0; k < inner; k += 32, pa += 16, pb += 16 * ldb) {
                    _tile_loadd(4, pa, sa);
                    _tile_loadd(6, pb, sb);
                    _tile_loadd(7, pb + 16, sb);
                    _tile_dpbf16ps(0, 4, 6);
                    _tile_dpbf16ps(1, 4, 7);
                    _tile_loadd(5, pa + 16 * lda, sa);
                    _tile_dpbf16ps(2, 5, 6);
                    _tile_dpbf16ps(3, 5, 7);
                }
                // While the tile unit works, the rest of the core finishes the last block.
                if (last_i >= 0) finish(last_i, last_j);
                last_i = i, last_j = j;
                _tile_stored(0, c0, sc);
                _tile_stored(1, c0 + 16, sc);
                _tile_stored(2, c1, sc);
                _tile_stored(3, c1 + 16, sc);
            }
        finish(last_i, last_j);
    }
};
#endif

template <class Products> class Bf16 {
public:
    static constexpr int64_t TILE = 2 * STRIP;
    static constexpr bool ROUNDS = true;

    struct Weights {
        int32_t *plain, *transposed;  // pairs along the index that is summed over
    };
    static Weights pack(Arena& arena, const float* w, int64_t width) {
        const int64_t wide = padded(width), ld = wide + PAD, ld_rows = wide / 2 + PAD;
        Weights out{arena.take<int32_t>(wide / 2 * ld), arena.take<int32_t>(wide / 2 * ld)};
        auto* rows = arena.take<int32_t>(wide * ld_rows);
        auto* copy = arena.take<float>(wide * wide);
        if (!out.plain) return out;
        if (wide != width) std::memset(copy, 0, size_t(wide * wide) * 4);
        for (int64_t j = 0; j < width; ++j)
            std::memcpy(copy + j * wide, w + j * width, size_t(width) * 4);
        for (int64_t j = 0; j < wide; j += 2)
            for (int64_t k = 0; k < wide; k += 16) {
                const __m512i two = round_rows(_mm512_load_ps(copy + j * wide + k),
                                               _mm512_load_ps(copy + (j + 1) * wide + k));
                _mm512_store_si512(out.plain + j / 2 * ld + k, pair_rows(two));
                store_rows(rows + j * ld_rows + k / 2, ld_rows, two);
            }
        for (int64_t j = 0; j < wide; j += 16)
            for (int64_t k = 0; k < wide / 2; k += 16)
                transpose16(rows + j * ld_rows + k, ld_rows, out.transposed + k * ld + j, ld);
        return out;
    }

    Bf16(Arena& arena, int64_t width, int64_t depth)
        : wide_(padded(width)), ld_(wide_ + PAD), ld_rows_(wide_ / 2 + PAD) {
        for (int i = 0; i < 2; ++i) {  // what goes in and what comes out of a product
            value_rows_[i] = arena.take<int32_t>(STRIP * ld_rows_);
            slope_rows_[i] = arena.take<int32_t>(STRIP * ld_rows_);
        }
        slope_pairs_ = arena.take<int32_t>(STRIP / 2 * ld_);
        for (int64_t l = 0; l < depth; ++l) {
            value_pairs_.push_back(arena.take<int32_t>(TILE / 2 * ld_));
            slope_columns_.push_back(arena.take<int32_t>(wide_ * (TILE / 2 + PAD)));
        }
    }
    void begin() { Products::begin(); }
    void end() { Products::end(); }
    void strip(int64_t row) { first_ = row; }
    static Vec tanh(Vec x) { return tanh_rounded(x); }
    void put_value(int64_t l, int64_t row, int64_t j, Vec x, Vec y) {
        const __m512i two = round_rows(x, y);
        store_rows(value_rows_[l % 2] + row * ld_rows_ + j / 2, ld_rows_, two);
        _mm512_store_si512(value_pairs_[l] + (first_ + row) / 2 * ld_ + j, pair_rows(two));
    }
    void get_value(int64_t l, int64_t row, int64_t j, Vec& x, Vec& y) const {
        const __m512i two = _mm512_load_si512(value_pairs_[l] + (first_ + row) / 2 * ld_ + j);
        x = _mm512_castsi512_ps(_mm512_slli_epi32(two, 16));
        y = _mm512_castsi512_ps(_mm512_and_si512(two, _mm512_set1_epi32(int(0xffff0000u))));
    }
    void put_slope(int64_t l, int64_t row, int64_t j, Vec x, Vec y) {
        const __m512i two = round_rows(x, y);
        store_rows(slope_rows_[l % 2] + row * ld_rows_ + j / 2, ld_rows_, two);
        _mm512_store_si512(slope_pairs_ + row / 2 * ld_ + j, pair_rows(two));
    }
    void slopes_done(int64_t l) {
        constexpr int64_t ld = TILE / 2 + PAD;
        for (int64_t row = 0; row < STRIP / 2; row += 16)
            for (int64_t j = 0; j < wide_; j += 16)
                transpose16(slope_pairs_ + row * ld_ + j, ld_,
                            slope_columns_[l] + j * ld + first_ / 2 + row, ld);
    }
    template <class Finish> void forward(int64_t l, const Weights& w, float* c, Finish finish) {
        Products::template product<false>(c, ld_, value_rows_[l % 2], ld_rows_, w.transposed, ld_,
                                          STRIP, wide_, wide_, finish);
    }
    template <class Finish> void backward(int64_t l, const Weights& w, float* c, Finish finish) {
        Products::template product<false>(c, ld_, slope_rows_[l % 2], ld_rows_, w.plain, ld_,
                                          STRIP, wide_, wide_, finish);
    }
    void weight_slope(int64_t l, int64_t rows, float* c) {
        Products::template product<true>(c, ld_, slope_columns_[l], TILE / 2 + PAD,
                                         value_pairs_[l], ld_, wide_, wide_, rows,
                                         [](int64_t, int64_t) {});
    }

private:
    static void store_rows(int32_t* to, int64_t step, __m512i two) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(two));
        _mm256_store_si256(reinterpret_cast<__m256i*>(to + step),
                           _mm512_extracti64x4_epi64(two, 1));
    }
    int64_t wide_, ld_, ld_rows_, first_ = 0;
    int32_t *value_rows_[2], *slope_rows_[2], *slope_pairs_;
    std::vector<int32_t*> value_pairs_, slope_columns_;
};

#endif  // HAS_BF16

// ---- one share: some patches, by one thread

struct Row {
    const float* pose;   // three vectors: factors of both coordinates, and offset
    float* pose_slope;   // the same
    float down, left;    // coordinates
    float target;
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
        : q_(common.q), common_(common), first_(first), last_(last), wide_(padded(q_.width)),
          ld_(wide_ + PAD), engine_(arena, q_.width, q_.depth) {
        pose_ = arena.take<float>((last - first) * 3 * wide_);
        pose_slope_ = arena.take<float>((last - first) * 3 * wide_);
        zeros_ = arena.take<float>(6 * wide_);
        c_ = arena.take<float>(STRIP * ld_);
        sums_ = arena.take<float>(sums());
    }
    // Floats of the sums over rows: every layer's weights and biases, then those of the output.
    int64_t sums() const { return q_.depth * (wide_ * ld_ + wide_) + wide_ + LANES; }
    float* weight_sum(int64_t l) { return sums_ + l * (wide_ * ld_ + wide_); }
    float* bias_sum(int64_t l) { return weight_sum(l) + wide_ * ld_; }
    float* out_weight_sum() { return weight_sum(q_.depth); }
    float* out_bias_sum() { return out_weight_sum() + wide_; }

    void run() {
        engine_.begin();
        prepare();
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
        if (q_.gradients) write_pose_slopes();
        engine_.end();
    }

private:
    void prepare() {
        std::memset(zeros_, 0, size_t(6 * wide_) * 4);
        std::memset(pose_, 0, size_t((last_ - first_) * 3 * wide_) * 4);
        std::memset(pose_slope_, 0, size_t((last_ - first_) * 3 * wide_) * 4);
        std::memset(sums_, 0, size_t(sums()) * 4);
        const int64_t width = q_.width;
        for (int64_t s = first_; s < last_; ++s) {
            float* pose = pose_ + (s - first_) * 3 * wide_;
            for (int64_t j = 0; j < width; ++j) {
                pose[j] = q_.linear[(s * width + j) * 2];
                pose[wide_ + j] = q_.linear[(s * width + j) * 2 + 1];
                pose[2 * wide_ + j] = q_.offset[s * width + j];
            }
        }
        losses_.assign(size_t(last_ - first_), 0.0);
    }
    void write_pose_slopes() {
        const int64_t width = q_.width;
        for (int64_t s = first_; s < last_; ++s) {
            const float* slope = pose_slope_ + (s - first_) * 3 * wide_;
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
        for (int64_t l = 0; l + 1 < q_.depth; ++l) {
            engine_.forward(l, common_.weights[l], c_,
                            [this, l](int64_t i, int64_t j) { hidden_layer(l, i, j); });
        }
        std::memset(totals_, 0, sizeof totals_);
        engine_.forward(q_.depth - 1, common_.weights[q_.depth - 1], c_,
                        [this](int64_t i, int64_t j) { last_layer(i, j); });
        for (int64_t r = 0; r < STRIP; ++r) logit_[r] = sum(at(totals_[r])) + *q_.out_bias;
        losses(start, valid);
        if (!q_.gradients) return;
        output_slopes();
        engine_.slopes_done(q_.depth - 1);
        for (int64_t l = q_.depth - 1; l > 0; --l) {
            engine_.backward(l, common_.weights[l], c_,
                             [this, l](int64_t i, int64_t j) { hidden_slopes(l, i, j); });
            engine_.slopes_done(l - 1);
        }
        engine_.backward(0, common_.weights[0], c_,
                         [this, valid](int64_t i, int64_t j) { pose_slopes(valid, i, j); });
    }
    void find_rows(int64_t start, int64_t valid) {
        int64_t s = start / q_.pixels, p = start % q_.pixels;
        for (int64_t r = 0; r < STRIP; ++r) {
            if (r >= valid) {  // empty rows fill up the last strip; their slopes are set to 0
                rows_[r] = Row{zeros_, zeros_ + 3 * wide_, 0, 0, 0};
                continue;
            }
            rows_[r] = Row{pose_ + s * 3 * wide_, pose_slope_ + s * 3 * wide_, q_.grid[2 * p],
                           q_.grid[2 * p + 1], q_.image[(first_ + s) * q_.pixels + p]};
            if (++p == q_.pixels) p = 0, ++s;
        }
    }
    void first_layer() {
        for (int64_t r = 0; r < STRIP; r += 2) {
            const Row &one = rows_[r], &two = rows_[r + 1];
            const Vec down1 = splat(one.down), left1 = splat(one.left);
            const Vec down2 = splat(two.down), left2 = splat(two.left);
            for (int64_t j = 0; j < wide_; j += LANES) {
                const float *p = one.pose + j, *n = two.pose + j;
                const Vec x = at(p) * down1 + (at(p + wide_) * left1 + at(p + 2 * wide_));
                const Vec y = at(n) * down2 + (at(n + wide_) * left2 + at(n + 2 * wide_));
                engine_.put_value(0, r, j, Engine::tanh(x), Engine::tanh(y));
            }
        }
    }
    void hidden_layer(int64_t l, int64_t i, int64_t first) {
        for (int64_t r = i; r < i + BLOCK; r += 2)
            for (int64_t j = first; j < first + BLOCK; j += LANES) {
                const Vec bias = at(common_.biases[l] + j);
                const float* c = c_ + r * ld_ + j;
                engine_.put_value(l + 1, r, j, Engine::tanh(at(c) + bias),
                                  Engine::tanh(at(c + ld_) + bias));
            }
    }
    void last_layer(int64_t i, int64_t first) {  // values in place, and their part of the logits
        const float* bias = common_.biases[q_.depth - 1];
        for (int64_t r = i; r < i + BLOCK; ++r)
            for (int64_t j = first; j < first + BLOCK; j += LANES) {
                Vec& c = at(c_ + r * ld_ + j);
                c = Engine::tanh(c + at(bias + j));
                at(totals_[r]) += c * at(common_.out_weight + j);
            }
    }
    void losses(int64_t start, int64_t valid) {
        alignas(64) float target[STRIP], loss[STRIP];
        for (int64_t r = 0; r < STRIP; ++r) target[r] = rows_[r].target;
        for (int64_t r = 0; r < STRIP; r += LANES)
            likelihood(q_, at(logit_ + r), at(target + r), at(loss + r), at(slope_ + r));
        int64_t s = start / q_.pixels, p = start % q_.pixels;
        for (int64_t r = 0; r < valid; ++r) {
            losses_[size_t(s)] += loss[r];
            q_.nll[first_ + s] = float(losses_[size_t(s)]);
            if (++p == q_.pixels) p = 0, ++s;
        }
        for (int64_t r = valid; r < STRIP; ++r) slope_[r] = 0;
        Vec total = {};
        for (int64_t r = 0; r < STRIP; r += LANES) total += at(slope_ + r);
        at(out_bias_sum()) += total;
    }
    void output_slopes() {
        const int64_t l = q_.depth - 1;
        for (int64_t j = 0; j < wide_; j += LANES) {
            const Vec w = at(common_.out_weight + j);
            Vec by_weight = {}, by_bias = {};
            for (int64_t r = 0; r < STRIP; r += 2) {
                const Vec x = at(c_ + r * ld_ + j), y = at(c_ + (r + 1) * ld_ + j);
                const Vec gx = splat(slope_[r]), gy = splat(slope_[r + 1]);
                by_weight += gx * x + gy * y;
                const Vec wx = gx * w, wy = gy * w;
                const Vec dx = wx - wx * (x * x), dy = wy - wy * (y * y);
                by_bias += dx + dy;
                engine_.put_slope(l, r, j, dx, dy);
            }
            at(out_weight_sum() + j) += by_weight;
            at(bias_sum(l) + j) += by_bias;
        }
    }
    // Of layer l - 1, from the product with the weights of layer l.
    void hidden_slopes(int64_t l, int64_t i, int64_t first) {
        for (int64_t j = first; j < first + BLOCK; j += LANES) {
            Vec by_bias = {};
            for (int64_t r = i; r < i + BLOCK; r += 2) {
                Vec dx, dy;
                slopes(l, r, j, dx, dy);
                by_bias += dx + dy;
                engine_.put_slope(l - 1, r, j, dx, dy);
            }
            at(bias_sum(l - 1) + j) += by_bias;
        }
    }
    void slopes(int64_t l, int64_t r, int64_t j, Vec& dx, Vec& dy) const {
        Vec x, y;
        engine_.get_value(l, r, j, x, y);
        const Vec cx = at(c_ + r * ld_ + j), cy = at(c_ + (r + 1) * ld_ + j);
        dx = cx - cx * (x * x);
        dy = cy - cy * (y * y);
    }
    void pose_slopes(int64_t valid, int64_t i, int64_t first) {
        for (int64_t j = first; j < first + BLOCK; j += LANES)
            for (int64_t r = i; r < i + BLOCK; r += 2) {
                Vec dx, dy;
                slopes(0, r, j, dx, dy);
                at(c_ + r * ld_ + j) = dx;
                at(c_ + (r + 1) * ld_ + j) = dy;
            }
        const int64_t stop = std::min(valid, i + BLOCK);
        for (int64_t r = i, end; r < stop; r = end) {
            for (end = r + 1; end < stop && rows_[end].pose == rows_[r].pose;) ++end;
            for (int64_t j = first; j < first + BLOCK; j += LANES) add_pose_slopes(r, end, j);
        }
    }
    void add_pose_slopes(int64_t start, int64_t end, int64_t j) {  // rows of one patch
        Vec down = {}, left = {}, plain = {};
        for (int64_t r = start; r < end; ++r) {
            const Vec d = at(c_ + r * ld_ + j);
            down += d * rows_[r].down;
            left += d * rows_[r].left;
            plain += d;
        }
        float* slope = rows_[start].pose_slope + j;
        at(slope) += down;
        at(slope + wide_) += left;
        at(slope + 2 * wide_) += plain;
    }

    const Problem& q_;
    const Common<Engine>& common_;
    int64_t first_, last_, wide_, ld_;
    Engine engine_;
    float *pose_, *pose_slope_, *zeros_, *c_, *sums_;
    std::vector<double> losses_;
    Row rows_[STRIP];
    alignas(64) float totals_[STRIP][LANES];
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
    for (size_t i = 1; i < team.shares.size(); ++i) helpers.emplace_back([&team] { team.work(); });
    team.work();
    for (auto& helper : helpers) helper.join();
    if (q.gradients) write_sums(q, team);
}

}  // namespace

extern "C" {

// 0: float32 products only; 1: bf16 products in vector registers; 2: in tile registers.
int vaeopt_bf16(void) {
#if defined(HAS_AMX)
    if (amx_granted()) return 2;
#endif
#if defined(HAS_BF16)
    return 1;
#else
    return 0;
#endif
}

// 0 if all went well, 1 if memory ran out or the bf16 products asked for are not there.
int vaeopt_spatial_nll(const Problem* q) {
    try {
        if (!q->bf16) {
            solve<Float32>(*q);
            return 0;
        }
#if defined(HAS_AMX)
        if (vaeopt_bf16() == 2 && q->bf16 != 2) {
            solve<Bf16<TileProducts>>(*q);
            return 0;
        }
#endif
#if defined(HAS_BF16)
        solve<Bf16<VectorProducts>>(*q);
        return 0;
#else
        return 1;
#endif
    } catch (const std::exception&) {
        return 1;
    }
}
}
