// What Python calls. Results: 0 if all went well, 1 if memory or threads ran out or the bf16
// products asked for are not there.

#include <exception>

#include "decoder.h"
#include "layout.h"
#include "trainer.h"

namespace {

bool has_tiles() {
#if defined(HAS_AMX)
    return amx_granted();
#else
    return false;
#endif
}

// Calls work with the engine asked for: 0 float32, 1 bf16, 2 bf16 in vector registers only.
template <class Work> int with_engine(int64_t bf16, Work work) {
    try {
        if (!bf16) {
            work(static_cast<Float32*>(nullptr));
            return 0;
        }
#if defined(HAS_AMX)
        if (has_tiles() && bf16 != 2) {
            work(static_cast<Bf16<TileProducts>*>(nullptr));
            return 0;
        }
#endif
#if defined(HAS_BF16)
        work(static_cast<Bf16<VectorProducts>*>(nullptr));
        return 0;
#else
        return 1;
#endif
    } catch (const std::exception&) {
        return 1;
    }
}

}  // namespace

extern "C" {

// 0: float32 products only; 1: bf16 products in vector registers; 2: in tile registers.
int vaeopt_bf16(void) {
#if defined(HAS_BF16)
    return has_tiles() ? 2 : 1;
#else
    return 0;
#endif
}

// Whether bf16 products are faster than float32 ones. In vector registers they are not on Intel's
// processors: measured 49.7 against 33.8 ms (one thread, 64 patches of 20 px) on one with AVX-512.
int vaeopt_bf16_pays(void) {
#if defined(HAS_BF16)
    __builtin_cpu_init();
    return has_tiles() || !__builtin_cpu_is("intel");
#else
    return 0;
#endif
}

int vaeopt_spatial_nll(const Problem* q) {
    return with_engine(q->bf16, [q](auto* engine) {
        solve<std::remove_pointer_t<decltype(engine)>>(*q);
    });
}

// Floats of each of the flat arrays of a member.
int64_t vaeopt_state_floats(const Recipe* q) { return Layout(*q).floats; }

// Copies tensors, in the order of the model's state_dict, to a flat array, or back.
void vaeopt_copy_state(const Recipe* q, float* flat, float* const* tensors, int64_t load) {
    Copy(flat, tensors, load != 0).all(*q, Layout(*q));
}

// One pass of every member over `patches` rows of the image array, batch by batch.
int vaeopt_train(const Recipe* q, const float* image, int64_t patches, Member* members,
                 int64_t count, double learning_rate, int64_t threads) {
    return with_engine(q->bf16, [=](auto* engine) {
        train<std::remove_pointer_t<decltype(engine)>>(*q, image, patches, members, count,
                                                       learning_rate, threads);
    });
}
}
