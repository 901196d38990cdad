// The half of an IP-Adapter that sees pictures: it turns an image encoder's result into tokens beside those of the text, and
// these into the keys and values of each cross attention. Nothing of it depends on the step.
#pragma once

#include <string>
#include <vector>

#include "modules/ops.h"

namespace dg {

struct IpAdapterDims {
    int64_t embed   = 0;  // width of what the image encoder gives; 0: it takes none
    int64_t face    = 0;  // width of a face's embedding; 0: it takes none
    int64_t context = 0;  // width of a token
    int64_t tokens  = 0;  // of a picture
    // Of the resampler; depth 0: there is none.
    int64_t depth = 0, hidden = 0, attended = 0;  // layers; width; width of its heads together
    int64_t inner = 0, face_inner = 0;  // of the resampler's feed-forward layers; of the face's
    std::vector<int64_t> channels;  // of each cross attention, in the order of AttentionSite::index

    int64_t layer_values() const;  // keys and values of a token, of all cross attentions
};

// context: width of the text's tokens; tokens follow from it.
IpAdapterDims infer_ip_adapter_dims(const Source& source);

class IpAdapter {
public:
    IpAdapter(Params& params, const IpAdapterDims& dims);

    struct Inputs {
        ggml_tensor* embeds;  // [embed, Tin, pictures * N]; NULL without
        ggml_tensor* faces;  // [face, pictures * N]; NULL without
        int64_t pictures = 1;  // whose tokens stand in one row
        float shortcut =
            0;  // of faces with a picture: 0: none (FaceID Plus); else the weight of the picture's part (v2)
    };
    // For each cross attention its keys and its values, [channels, tokens * pictures, N].
    std::vector<ggml_tensor*> build(GraphBuilder& g, const Inputs& in) const;

    const IpAdapterDims dims;

private:
    struct Layer {  // of the resampler
        Norm norm_x, norm_latents, norm_ff;
        Linear q, k, v, out, ff1, ff2;
    };
    ggml_tensor* tokens(GraphBuilder& g, const Inputs& in) const;
    ggml_tensor* resample(GraphBuilder& g, ggml_tensor* embeds, ggml_tensor* latents) const;

    Linear embed_;  // of the base: one matrix
    Linear face1_, face2_;
    Norm norm_;
    ggml_tensor* latents_ = nullptr;
    Linear in_, out_;
    Norm norm_out_;
    std::vector<Layer> layers_;
    std::vector<Linear> keys_, values_;
};

}  // namespace dg
