// Layers with adapters on them, as graph pieces: the base weight's product plus the adapters' changes. Base weights are not
// touched.
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
