// A direct 2-d convolution for the CPU: an implicit matrix product in cache-sized blocks, without the
// im2col matrix that the engine's path writes to memory (2.4 GB for one layer of a 1024 px VAE decode).
#pragma once

#include <cstddef>
#include <cstdint>

#include "ggml.h"

namespace dg {

// Geometry of a square kernel, carried to the graph callback inside a pointer's bits.
struct ConvShape {
    int32_t kernel = 3, stride = 1, pad = 1;
};

// Kernels are stored by tiles of output channels, then taps, then input channels, so that the inner loop reads them
// forward; BF16 on CPUs that multiply it has an order of its own (conv2d_bf16.h, where conv_is_bf16). Shape of the packed tensor:
// `conv_packed_columns` x `conv_packed_rows` elements.
bool conv_is_bf16(ggml_type type);
int64_t conv_packed_columns(ggml_type type, int64_t kernel, int64_t in);
int64_t conv_packed_rows(ggml_type type, int64_t out);

// weights: [out][in][kernel][kernel] of `type` (F32, F16 or BF16); packed: of the same type.
void conv_pack(const void* weights, ggml_type type, int64_t kernel, int64_t in, int64_t out, void* packed);

// Graph node: x [W, H, in, N] F32, packed weights, bias F32 [out] -> [W', H', out, N] F32.
ggml_tensor* conv_direct(ggml_context* ctx, ggml_tensor* x, ggml_tensor* packed, ggml_tensor* bias, int64_t out,
                         const ConvShape& shape);

}  // namespace dg
