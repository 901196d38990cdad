// Layers with adapters, as parts of a graph: the product with the base weight, plus the changes of the adapters. The base
// weight itself stays as it is.
#pragma once

#include "lora/adapter.h"
#include "modules/ops.h"

namespace dg {

ggml_tensor* linear_with(GraphBuilder& g, const AppliedChange& change, const Linear& layer, ggml_tensor* x,
                         ggml_tensor* residual);

ggml_tensor* conv2d_with(GraphBuilder& g, const AppliedChange& change, const Conv2d& layer, ggml_tensor* x,
                         const ConvOptions& options);

Norm norm_with(GraphBuilder& g, const AppliedChange& change, const Norm& norm);

}  // namespace dg
