// CLIP's text transformer: CLIP-L of Hugging Face and bigG of OpenCLIP.
#pragma once

#include <vector>

#include "modules/clip_layer.h"

namespace dg {

struct TextDims {
    int64_t vocab = 0, width = 0, layers = 0, heads = 0, projection = 0, tokens = 0;
    bool quick_gelu = false;
};

// Gets the dimensions from the shapes of the weights under `prefix`. Shapes do not show head_dim, so the caller gives it.
TextDims infer_text_dims(const Source& source, const std::string& prefix, int64_t head_dim);

class TextEncoder {
public:
    TextEncoder(Params& params, const std::string& prefix, const TextDims& dims);

    struct Inputs {
        ggml_tensor* ids;  // I32 [T, chunks]
        ggml_tensor* mask;  // F32 [T, T], causal
        ggml_tensor* keep;  // F32 [1, T*chunks], NULL without custom embeddings
        ggml_tensor* custom;  // F32 [width, T*chunks], NULL without
        ggml_tensor* ends;  // I32 [chunks]: rows of the end tokens among all T*chunks; NULL without pooling
    };

    // hidden [width, T, chunks] after `last` layers; pooled [projection, chunks] or NULL.
    struct Outputs {
        ggml_tensor* hidden;
        ggml_tensor* pooled;
    };
    Outputs build(GraphBuilder& g, const Inputs& in, int64_t last, bool pooled) const;

    const TextDims dims;

private:
    ggml_tensor* token_table_;
    ggml_tensor* position_table_;
    std::vector<ClipLayer> layers_;
    Norm final_norm_;
    Linear projection_;
};

}  // namespace dg
