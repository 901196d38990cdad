// CLIP's image transformer: ViT-H and ViT-bigG of OpenCLIP with Hugging Face's names (CLIPVisionModelWithProjection).
#pragma once

#include <vector>

#include "modules/clip_layer.h"

namespace dg {

struct ImageEncoderDims {
    int64_t width = 0, layers = 0, heads = 0, inner = 0, projection = 0;
    int64_t patch = 0, tokens = 0;  // pixels of a patch's side; patches and the class token
    bool quick_gelu = false;

    int64_t grid() const;  // patches along a side
    int64_t size() const { return grid() * patch; }  // pixels along a side
    int64_t patch_values() const { return 3 * patch * patch; }
};

// head_dim 0: that of the published encoders of this width, else 64.
ImageEncoderDims infer_image_encoder_dims(const Source& source, int64_t head_dim);

class ImageEncoder {
public:
    ImageEncoder(Params& params, const ImageEncoderDims& dims);

    // patches [patch_values, grid * grid, N], each in the order of channels, rows, columns.
    struct Outputs {
        ggml_tensor* embeds;  // [projection, N]: the class token, projected; NULL where it is not wanted
        ggml_tensor* hidden;  // [width, tokens, N]: after the penultimate layer; NULL where it is not wanted
    };
    Outputs build(GraphBuilder& g, ggml_tensor* patches, bool embeds, bool hidden) const;

    const ImageEncoderDims dims;

private:
    Linear patch_;
    ggml_tensor* class_;
    ggml_tensor* positions_;
    Norm before_, after_;
    std::vector<ClipLayer> layers_;
    Linear projection_;
};

}  // namespace dg
