// The layers of SDXL's modules, as parts of a ggml graph. Activations are float32. In ggml's order, pictures are [W, H, C, N]
// and token sequences are [C, T, N].
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "backend/graph.h"
#include "model/params.h"

namespace dg {

// If a kernel can compute a norm or an activation while it packs its input, the graph only notes it. Other readers get a node
// that computes it.

// Whether our kernels on packed inputs may replace ggml's operations: BF16 kernels if activations may be rounded, F32 kernels
// always.
bool may_pack(const GraphBuilder& g);

// The graph's adapters change layers and norms. The residual is added if it is not NULL.
ggml_tensor* linear(GraphBuilder& g, const Linear& layer, ggml_tensor* x, ggml_tensor* residual = nullptr);

// a [k, m, ...] times b [k, n, ...] -> [m, n, ...], by ggml's kernels.
ggml_tensor* product(GraphBuilder& g, ggml_tensor* a, ggml_tensor* b);

// weight [in, out] of any type times x [in, T, N], plus bias and residual if they are not NULL, in the fastest way on the
// device.
ggml_tensor* matmul(GraphBuilder& g, ggml_tensor* weight, ggml_tensor* x, ggml_tensor* bias = nullptr,
                    ggml_tensor* residual = nullptr);

struct ConvOptions {
    int stride               = 1;  // 1 or 2
    int pad                  = 1;  // zeros on every side
    ggml_tensor* per_picture = nullptr;  // [out, N], added to every pixel
    ggml_tensor* residual    = nullptr;  // added to the result
    bool wide                = false;  // the input may have values beyond half precision
};
ggml_tensor* conv2d(GraphBuilder& g, const Conv2d& layer, ggml_tensor* x, const ConvOptions& options = {});

// Adds pixels on each side of a picture. Along axes that wrap they come from the opposite side; along others they are zeros.
ggml_tensor* pad_picture(GraphBuilder& g, ggml_tensor* x, int left, int right, int top, int bottom);

// The same without adapters.
ggml_tensor* conv2d_plain(GraphBuilder& g, const Conv2d& layer, ggml_tensor* x, const ConvOptions& options);

// Vectors [C] or [C, N] over the channels of pictures.
ggml_tensor* per_channel(GraphBuilder& g, ggml_tensor* vectors);

ggml_tensor* layer_norm(GraphBuilder& g, const Norm& norm, ggml_tensor* x, float eps = 1e-5f);
ggml_tensor* group_norm(GraphBuilder& g, const Norm& norm, ggml_tensor* x, int groups, float eps);

// A group norm of x [W, H, C, 1] with given statistics [2, groups]: each group's mean and 1 / standard deviation.
ggml_tensor* group_norm_by(GraphBuilder& g, const Norm& norm, ggml_tensor* x, ggml_tensor* statistics);

// Mean and variance of each group of channels of x [W, H, C, 1], which may be a view: [2, groups].
ggml_tensor* group_moments(GraphBuilder& g, ggml_tensor* x, int groups);

ggml_tensor* silu(GraphBuilder& g, ggml_tensor* x);
ggml_tensor* gelu(GraphBuilder& g, ggml_tensor* x);  // erf
ggml_tensor* quick_gelu(GraphBuilder& g, ggml_tensor* x);  // x * sigmoid(1.702 x)

// The layer's result [2C, T, N]: first half times gelu(second half).
ggml_tensor* geglu(GraphBuilder& g, const Linear& layer, ggml_tensor* x);

// Multi-head attention: q [C, Tq, N], k and v [C, Tk, U] -> [C, Tq, N]. mask [Tk, Tq] is added to the scores;
// with a mask, scores are in memory. of_row, I32 [N]: for each row, which keys and values it uses. NULL: its own, and U is N.
ggml_tensor* attention(GraphBuilder& g, ggml_tensor* q, ggml_tensor* k, ggml_tensor* v, int64_t heads,
                       ggml_tensor* mask = nullptr, ggml_tensor* of_row = nullptr);

// A picture [W, H, C, N] as tokens [C, W * H, N], and back to w x h.
ggml_tensor* to_tokens(GraphBuilder& g, ggml_tensor* x);
ggml_tensor* to_picture(GraphBuilder& g, ggml_tensor* x, int64_t w, int64_t h);

// Norm and convolution, twice; the result is added to the input. `time` projects the time embedding; only UNets have it.
struct Resnet {
    Norm norm1, norm2;
    Conv2d conv1, conv2, shortcut;  // no shortcut where the channels stay as they are
    Linear time;
};
Resnet make_resnet(Params& p, const std::string& name, int64_t in, int64_t out, int64_t time_embed = 0);

// `embedding` is NULL if the resnet has no `time`. norm(weights, x) builds a group norm.
using BuildNorm = std::function<ggml_tensor*(const Norm&, ggml_tensor*)>;
ggml_tensor* resnet(GraphBuilder& g, const Resnet& r, ggml_tensor* x, ggml_tensor* embedding, const BuildNorm& norm);

// [W, H, C, N] -> [W/r, H/r, C*r*r, N]; channel c*r*r + y*r + x is pixel (y, x) of each r x r square, as torch.pixel_unshuffle.
ggml_tensor* pixel_unshuffle(GraphBuilder& g, ggml_tensor* x, int64_t r);

// Nearest-neighbour resize to w x h.
ggml_tensor* resize_nearest(GraphBuilder& g, ggml_tensor* x, int64_t w, int64_t h);

}  // namespace dg
