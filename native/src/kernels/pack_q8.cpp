#include "kernels/pack_q8.h"

#include <cstdint>

#include "kernels/node.h"
#include "kernels/q8_block.h"

namespace dg {

#if defined(__AVX512BF16__) && defined(__AVX512VNNI__)

namespace {

// AMX's tiles multiply BF16 faster than these products do bytes.
bool q8_products() {
    return !amx_usable();
}

void run(ggml_tensor* dst, int ith, int nth, void*) {
    const ggml_tensor* packed = dst->src[0];
    const int64_t blocks = packed->ne[0] / (kTile * kQ8Block), all = blocks * packed->ne[1];
    for (int64_t i = all * ith / nth; i < all * (ith + 1) / nth; i++) {
        __m512i pairs[kTile];
        for (int64_t p = 0; p < kTile; p++) {
            pairs[p] = _mm512_loadu_si512(static_cast<const char*>(packed->data) + i * kTileBytes + p * 64);
        }
        store_q8_block(pairs, static_cast<char*>(dst->data) + i * kQ8TokenBlock);
    }
}

}  // namespace

bool wants_q8(ggml_type type) {
    return ggml_is_quantized(type) && q8_products();
}

ggml_tensor* pack_q8(ggml_context* ctx, ggml_tensor* packed) {
    return custom_node(ctx, kPackQ8, run, GGML_TYPE_I8, packed_shape(true, packed->ne[0] / kTile, packed->ne[1]),
                       {packed});
}

#else

bool wants_q8(ggml_type) {
    return false;
}

// Never called: wants_q8() is false.
ggml_tensor* pack_q8(ggml_context*, ggml_tensor*) {
    return nullptr;
}

#endif

}  // namespace dg
