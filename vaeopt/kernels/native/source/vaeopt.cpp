// What Python calls.

#include <exception>

#include "decoder.h"

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
