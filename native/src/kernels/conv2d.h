// A direct 2-d convolution for the CPU: an implicit matrix product in cache-sized blocks, without the
// im2col matrix that the engine's path writes to memory (2.4 GB for one layer of a 1024 px VAE decode).
#pragma once

#include <cstddef>
#include <cstdint>

#include "ggml.h"

namespace dg {

// Geometry of a square kernel. The graph's callback gets it in the bits of a pointer.
struct ConvShape {
    int32_t kernel = 3, stride = 1, pad = 1;
};

// Kernels are stored by tiles of output channels, then taps, then input channels: the inner loop reads them in this order. Two
// cases have other orders: BF16 on CPUs that multiply BF16, and every type on AVX2 and NEON. Shape of the packed tensor:
// `conv_packed_columns` x `conv_packed_rows` elements.
int64_t conv_packed_columns(ggml_type type, int64_t kernel, int64_t in);
int64_t conv_packed_rows(int64_t out);

// weights: [out][in][kernel][kernel] of `type` (F32, F16 or BF16); packed: of the same type.
void conv_pack(const void* weights, ggml_type type, int64_t kernel, int64_t in, int64_t out, void* packed);

// Graph node: x [W, H, in, N] F32, packed weights, bias F32 [out] -> [W', H', out, N] F32.
ggml_tensor* conv_direct(ggml_context* ctx, ggml_tensor* x, ggml_tensor* packed, ggml_tensor* bias, int64_t out,
                         const ConvShape& shape);

// What is added to a result while it is stored; NULL for nothing.
struct ConvAddends {
    ggml_tensor* per_picture = nullptr;  // F32 [out, N], to every pixel of a picture
    ggml_tensor* residual    = nullptr;  // F32 of the result's shape
};

// Whether kernels of a type are multiplied with pictures packed by kernels/pack_picture.h.
bool conv_takes_packed(ggml_type type);

// Graph node, if conv_takes_packed says so: a picture packed with the border shape.pad, of width x height pixels and `in`
// channels, times the packed kernel, plus bias F32 [out] and the addends -> [W', H', out, N] F32. F32 products use Winograd's
// filters where they are faster, except in exact arithmetic.
ggml_tensor* conv_packed(ggml_context* ctx, ggml_tensor* picture, int64_t width, int64_t height, int64_t in,
                         ggml_tensor* packed, ggml_tensor* bias, int64_t out, const ConvShape& shape,
                         const ConvAddends& addends, bool exact);

}  // namespace dg
