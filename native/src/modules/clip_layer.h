// The transformer layer that CLIP's text and image encoders have in common.
#pragma once

#include <string>

#include "modules/ops.h"

namespace dg {

struct ClipLayer {
    Norm norm1, norm2;
    Linear q, k, v, out, fc1, fc2;
};

// name ends with a dot: "text_model.encoder.layers.0.".
ClipLayer make_clip_layer(Params& params, const std::string& name, int64_t width, int64_t inner);

// x [width, T, N]. mask [T, T] is added to the scores; NULL: none.
ggml_tensor* clip_layer(GraphBuilder& g, const ClipLayer& layer, ggml_tensor* x, int64_t heads, ggml_tensor* mask,
                        bool quick);

}  // namespace dg
