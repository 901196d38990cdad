// SDXL's UNet. All dimensions come from the weights: base, refiner, inpainting (9 input channels), distilled models (SSD-1B,
// Vega) and our nano models. Structure and names are those of diffusers' UNet2DConditionModel with addition_embed_type
// "text_time" and linear projections.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "modules/attention_site.h"
#include "modules/companion.h"
#include "modules/ops.h"
#include "modules/text_regions.h"
#include "modules/unet_change.h"

namespace dg {

struct UnetDims {
    std::string prefix  = "unet.";  // of the tensors' canonical names
    int64_t in_channels = 0, out_channels = 0, context = 0, label = 0, time_embed = 0;
    int64_t guidance = 0;  // width of the embedding of the guidance scale; 0: there is none
    std::vector<int64_t> channels;  // per level
    std::vector<int64_t> down_resnets;  // per level
    std::vector<std::vector<int64_t>> down_depth;  // per level and resnet: transformer blocks after it
    // per level of up_blocks (from the deepest) and resnet. Empty in a ControlNet: it ends at the middle.
    std::vector<std::vector<int64_t>> up_depth;
    std::vector<std::vector<int64_t>> up_in_channels;  // input width of each resnet there
    int64_t mid_depth   = 0;
    int64_t mid_resnets = 0;
    int64_t head_dim    = 64;
    int32_t groups      = 32;

    int64_t model_channels() const { return channels[0]; }
};

// The dimensions of all parts that exist. A ControlNet has only the down blocks and the middle.
UnetDims infer_unet_dims(const Source& source, const std::string& prefix);

// Width and height of the latents and of each level below.
std::vector<std::pair<int64_t, int64_t>> level_sizes(const UnetDims& dims, int64_t height, int64_t width);

// Where T2I-Adapters add to latents of height x width: one for each down block, one for the middle. As in diffusers, a block with
// attention takes it before it halves the size, another block after that.
struct BlockShape {
    int64_t channels, height, width;
};
std::vector<BlockShape> block_shapes(const UnetDims& dims, int64_t height, int64_t width);

// Fails if the up blocks of a whole UNet do not match its down blocks: the graph would need tensors that do not exist.
void check_unet_dims(const Source& source, const UnetDims& dims);

class Unet {
public:
    Unet(Params& params, const UnetDims& dims);

    // Features that several evaluations share (model/features.h). A storing graph adds them to `made`. A reusing one reads `kept`, and
    // leaves out what would make them.
    struct Keep {
        int32_t kind   = DG_KEEP_NONE;
        bool reuse     = false;
        int64_t branch = 0;  // DG_KEEP_DEEP: the number of the skip that the reusing graph goes through
        std::vector<ggml_tensor*> kept, made;
        size_t next = 0;  // of kept
    };
    // The texts of a batch.
    struct Context {
        ggml_tensor* texts  = nullptr;  // [context, T, U]
        ggml_tensor* of_row = nullptr;  // I32 [N]: for each row, the number of its text; NULL: its own, and U is N
        const TextRegions* regions = nullptr;  // texts in parts of the picture: of_row has theirs, too
        Keep* keep                 = nullptr;
        const UnetChange* change   = nullptr;  // of the evaluation; a ControlNet has none
        std::vector<const CrossAttention*> beside;  // what takes part beside the text; a ControlNet has nothing here
        // Of T2I-Adapters, added inside the trunk: one for each of block_shapes, [w, h, channels, N or 1]. Empty: none.
        std::vector<ggml_tensor*> blocks;
        Companion* companion = nullptr;  // a network that is evaluated together with the UNet; NULL: none
    };
    struct Inputs {
        ggml_tensor* sample;  // [w, h, in_channels, N]
        ggml_tensor* time;  // [model_channels, N]: sinusoidal embedding
        Context context;
        ggml_tensor* label;  // [label, N]: pooled text and sinusoidal size ids
        ggml_tensor* guidance = nullptr;  // [guidance, N]: sinusoids of the guidance scale, or NULL
        // The residuals of ControlNets: one for each of Trunk::skips, then one for Trunk::middle. May be empty.
        std::vector<ggml_tensor*> residuals;
    };
    ggml_tensor* build(GraphBuilder& g, const Inputs& in) const;  // [w, h, out_channels, N]
    std::set<std::string> block_names() const;  // of all transformer blocks

    // The parts that a ControlNet has too. embed: the sum of time and label embedding (and of `more`, already projected) after
    // SiLU, [time_embed, N]; every use of it begins with SiLU. enter: the first convolution. trunk: down blocks and middle. The
    // embedding of the guidance scale is added to the sinusoids of the time first.
    ggml_tensor* embed(GraphBuilder& g, ggml_tensor* time, ggml_tensor* label, ggml_tensor* more = nullptr,
                       Companion* companion = nullptr) const;
    ggml_tensor* enter(GraphBuilder& g, ggml_tensor* sample) const;
    struct Trunk {
        std::vector<ggml_tensor*> skips;  // x itself, then after every resnet and downsampling
        ggml_tensor* middle;
    };
    // With `most`, it ends as soon as there are so many skips, and has no middle.
    Trunk trunk(GraphBuilder& g, ggml_tensor* x, ggml_tensor* embedding, const Context& context, size_t most = 0) const;
    size_t skips() const;  // of a whole trunk

    // The width of each cross attention, by AttentionSite::index.
    std::vector<int64_t> attention_channels() const;

    const UnetDims dims;

private:
    struct Block {  // one BasicTransformerBlock
        Norm norm1, norm2, norm3;
        Linear q1, k1, v1, out1, q2, k2, v2, out2, ff_in, ff_out;
        std::string name;  // of its AttentionSite, as is the index
        int64_t index = 0;
    };
    struct Transformer {
        Norm norm;
        Linear in, out;
        std::vector<Block> blocks;
    };
    struct Level {
        std::vector<Resnet> resnets;
        std::vector<Transformer> transformers;  // one per resnet; empty if the resnet has no blocks
        Conv2d resample;  // none after the last
    };

    Transformer make_transformer(Params& p, const std::string& name, int64_t channels, int64_t depth) const;
    void number_blocks();

    ggml_tensor* transformer(GraphBuilder& g, const Transformer& t, ggml_tensor* x, const Context& context) const;
    ggml_tensor* block(GraphBuilder& g, const Block& b, ggml_tensor* x, const Context& context,
                       AttentionSite& site) const;
    ggml_tensor* read_texts(GraphBuilder& g, const Block& b, ggml_tensor* x, const Context& context,
                            const AttentionSite& site) const;
    ggml_tensor* stage(GraphBuilder& g, const Level& level, size_t i, ggml_tensor* x, ggml_tensor* embedding,
                       const Context& context) const;

    Linear time1_, time2_, label1_, label2_, guidance_;
    Conv2d conv_in_, conv_out_;
    Norm norm_out_;
    std::vector<Level> down_, up_;
    Level mid_;
};

}  // namespace dg
