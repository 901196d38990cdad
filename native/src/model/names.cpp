#include "model/names.h"

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <iterator>
#include <utility>

#include "daguerre.h"
#include "model/names_networks.h"

namespace dg {

namespace {

bool starts_with(const std::string& text, const std::string& prefix) {
    return text.compare(0, prefix.size(), prefix) == 0;
}

bool cut_prefix(std::string& text, const std::string& prefix) {
    if (!starts_with(text, prefix)) {
        return false;
    }
    text.erase(0, prefix.size());
    return true;
}

using Renames = std::vector<std::pair<const char*, const char*>>;

// Replaces the first entry whose key is the text, or a whole dotted part at its start.
std::string rename_head(const std::string& text, const Renames& renames) {
    for (const auto& [from, to] : renames) {
        const std::string key = from;
        if (starts_with(text, key) && (text.size() == key.size() || text[key.size()] == '.')) {
            return to + text.substr(key.size());
        }
    }
    return text;
}

// "12.rest" -> 12, leaving "rest"; -1 where there is no number.
int cut_index(std::string& text) {
    size_t digits = 0;
    while (digits < text.size() && digits < 6 && text[digits] >= '0' && text[digits] <= '9') {
        digits++;
    }
    if (digits == 0 || (digits < text.size() && text[digits] != '.')) {
        return -1;
    }
    const int index = std::atoi(text.substr(0, digits).c_str());
    text.erase(0, std::min(text.size(), digits + 1));
    return index;
}

const Renames kResnet = {
    {"in_layers.0", "norm1"},          {"in_layers.2", "conv1"},  {"emb_layers.1", "time_emb_proj"},
    {"out_layers.0", "norm2"},         {"out_layers.3", "conv2"}, {"skip_connection", "conv_shortcut"},
    {"nin_shortcut", "conv_shortcut"},
};

const Renames kUnetEnds = {
    {"time_embed.0", "time_embedding.linear_1"},
    {"time_embed.2", "time_embedding.linear_2"},
    {"label_emb.0.0", "add_embedding.linear_1"},
    {"label_emb.0.2", "add_embedding.linear_2"},
    {"input_blocks.0.0", "conv_in"},
    {"out.0", "conv_norm_out"},
    {"out.2", "conv_out"},
};

const Renames kVaeAttention = {
    {"norm", "group_norm"},    {"q", "to_q"},     {"k", "to_k"},   {"v", "to_v"},
    {"proj_out", "to_out.0"},  {"query", "to_q"}, {"key", "to_k"}, {"value", "to_v"},
    {"proj_attn", "to_out.0"},
};

// Which original blocks of a UNet belong to which level. Built from all names of a file.
class UnetBlocks {
public:
    void see(const std::string& name) {  // without the component's prefix
        std::string rest = name;
        if (cut_prefix(rest, "input_blocks.")) {
            const int block = cut_index(rest);
            last_input_     = std::max(last_input_, block);
            if (starts_with(rest, "0.op.")) {
                down_.insert(block);
            }
        } else if (cut_prefix(rest, "output_blocks.")) {
            const int block = cut_index(rest);
            last_output_    = std::max(last_output_, block);
            if (starts_with(rest, "1.conv.") || starts_with(rest, "2.conv.")) {
                up_.insert(block);
            }
        } else if (cut_prefix(rest, "middle_block.")) {
            const int part = cut_index(rest);
            if (part == 1 && starts_with(rest, "transformer_blocks.")) {
                middle_attention_ = true;
            }
        }
    }

    void finish() {
        int level = 0, resnet = 0;
        for (int block = 1; block <= last_input_; block++) {
            if (down_.count(block) != 0) {
                input_[block] = {level++, -1};
                resnet        = 0;
            } else {
                input_[block] = {level, resnet++};
            }
        }
        level = resnet = 0;
        for (int block = 0; block <= last_output_; block++) {
            output_[block] = {level, resnet++};
            if (up_.count(block) != 0) {
                level++;
                resnet = 0;
            }
        }
    }

    std::string map(const std::string& name) const {
        std::string rest = name;
        if (!starts_with(rest, "input_blocks.0.") && cut_prefix(rest, "input_blocks.")) {
            const auto at = input_.find(cut_index(rest));
            if (at == input_.end()) {
                return "";
            }
            const auto [level, resnet] = at->second;
            const std::string block    = "down_blocks." + std::to_string(level) + ".";
            if (resnet < 0) {
                return cut_prefix(rest, "0.op.") ? block + "downsamplers.0.conv." + rest : "";
            }
            return inner(block, resnet, rest);
        }
        if (cut_prefix(rest, "output_blocks.")) {
            const auto at = output_.find(cut_index(rest));
            if (at == output_.end()) {
                return "";
            }
            const auto [level, resnet] = at->second;
            const std::string block    = "up_blocks." + std::to_string(level) + ".";
            if (cut_prefix(rest, "1.conv.") || cut_prefix(rest, "2.conv.")) {
                return block + "upsamplers.0.conv." + rest;
            }
            return inner(block, resnet, rest);
        }
        if (cut_prefix(rest, "middle_block.")) {
            const int part = cut_index(rest);
            if (part == 1 && middle_attention_) {
                return "mid_block.attentions.0." + rest;
            }
            return "mid_block.resnets." + std::to_string(part == 0 ? 0 : 1) + "." + rename_head(rest, kResnet);
        }
        const std::string renamed = rename_head(rest, kUnetEnds);
        return renamed == rest ? "" : renamed;
    }

private:
    static std::string inner(const std::string& block, int resnet, std::string rest) {
        if (cut_prefix(rest, "0.")) {
            return block + "resnets." + std::to_string(resnet) + "." + rename_head(rest, kResnet);
        }
        if (cut_prefix(rest, "1.")) {
            return block + "attentions." + std::to_string(resnet) + "." + rest;
        }
        return "";
    }

    std::set<int> down_, up_;
    std::map<int, std::pair<int, int>> input_, output_;
    int last_input_ = 0, last_output_ = -1;
    bool middle_attention_ = false;
};

// A ControlNet's own parts beside those it has from a UNet.
class ControlBlocks {
public:
    void see(const std::string& name) {
        std::string rest = name;
        if (cut_prefix(rest, "input_hint_block.")) {
            last_hint_ = std::max(last_hint_, cut_index(rest));
        }
        unet_.see(name);
    }

    void finish() { unet_.finish(); }

    static bool is_original(const std::string& name) {
        return starts_with(name, "input_hint_block.") || starts_with(name, "zero_convs.") ||
               starts_with(name, "middle_block_out.");
    }

    std::string map(const std::string& name) const {
        std::string rest = name;
        if (cut_prefix(rest, "input_hint_block.")) {  // convolutions at even places, SiLU between them
            const int index         = cut_index(rest);
            const std::string embed = "controlnet_cond_embedding.";
            if (index < 0 || index % 2 != 0) {
                return "";
            }
            return index == 0            ? embed + "conv_in." + rest
                   : index == last_hint_ ? embed + "conv_out." + rest
                                         : embed + "blocks." + std::to_string(index / 2 - 1) + "." + rest;
        }
        if (cut_prefix(rest, "zero_convs.")) {
            const int index = cut_index(rest);
            return cut_prefix(rest, "0.") ? "controlnet_down_blocks." + std::to_string(index) + "." + rest : "";
        }
        if (cut_prefix(rest, "middle_block_out.0.")) {
            return "controlnet_mid_block." + rest;
        }
        return unet_.map(name);
    }

private:
    UnetBlocks unet_;
    int last_hint_ = -1;
};

// The VAE's original names count the decoder's levels from the smallest channel count up.
class VaeBlocks {
public:
    void see(const std::string& name) {
        std::string rest = name;
        if (cut_prefix(rest, "decoder.up.")) {
            levels_ = std::max(levels_, cut_index(rest) + 1);
        }
    }

    std::string map(const std::string& name) const {
        std::string rest = name;
        if (cut_prefix(rest, "encoder.down.")) {
            const int index = cut_index(rest);
            return level("encoder.down_blocks.", index, rest);
        }
        if (cut_prefix(rest, "decoder.up.")) {
            const int index = levels_ - 1 - cut_index(rest);
            return level("decoder.up_blocks.", index, rest);
        }
        for (const char* side : {"encoder.", "decoder."}) {
            std::string inside = name;
            if (!cut_prefix(inside, side)) {
                continue;
            }
            if (cut_prefix(inside, "mid.block_1.")) {
                return std::string(side) + "mid_block.resnets.0." + rename_head(inside, kResnet);
            }
            if (cut_prefix(inside, "mid.block_2.")) {
                return std::string(side) + "mid_block.resnets.1." + rename_head(inside, kResnet);
            }
            if (cut_prefix(inside, "mid.attn_1.")) {
                return std::string(side) + "mid_block.attentions.0." + rename_head(inside, kVaeAttention);
            }
            if (cut_prefix(inside, "mid_block.attentions.0.")) {  // diffusers, also its names of before 0.18
                return std::string(side) + "mid_block.attentions.0." + rename_head(inside, kVaeAttention);
            }
            return side + rename_head(inside, {{"norm_out", "conv_norm_out"}});
        }
        return starts_with(name, "quant_conv.") || starts_with(name, "post_quant_conv.") ? name : "";
    }

private:
    static std::string level(const std::string& blocks, int index, std::string rest) {
        const std::string block = blocks + std::to_string(index) + ".";
        if (cut_prefix(rest, "block.")) {
            const int resnet = cut_index(rest);
            return block + "resnets." + std::to_string(resnet) + "." + rename_head(rest, kResnet);
        }
        if (cut_prefix(rest, "downsample.conv.")) {
            return block + "downsamplers.0.conv." + rest;
        }
        if (cut_prefix(rest, "upsample.conv.")) {
            return block + "upsamplers.0.conv." + rest;
        }
        return "";
    }

    int levels_ = 0;
};

// q, k and v of a fused matrix or bias.
std::vector<NameMapping> thirds(const std::string& head, std::initializer_list<const char*> names,
                                const std::string& kind) {
    std::vector<NameMapping> out;
    for (const char* name : names) {
        NameMapping m;
        m.canonical = head + name + kind;
        m.part      = static_cast<int32_t>(out.size());
        m.parts     = 3;
        out.push_back(m);
    }
    return out;
}

// OpenCLIP's text tower -> Hugging Face's names.
std::vector<NameMapping> map_open_clip(const std::string& prefix, std::string rest) {
    const auto one = [&](const std::string& name) {
        NameMapping m;
        m.canonical = prefix + name;
        return std::vector<NameMapping>{m};
    };
    if (rest == "text_projection" || rest == "text_projection.weight") {
        std::vector<NameMapping> m = one("text_projection.weight");
        m[0].transpose             = rest == "text_projection";
        return m;
    }
    if (rest == "positional_embedding") {
        return one("text_model.embeddings.position_embedding.weight");
    }
    if (cut_prefix(rest, "token_embedding.")) {
        return one("text_model.embeddings.token_embedding." + rest);
    }
    if (cut_prefix(rest, "ln_final.")) {
        return one("text_model.final_layer_norm." + rest);
    }
    if (!cut_prefix(rest, "transformer.resblocks.")) {
        return {};
    }
    const int index         = cut_index(rest);
    const std::string layer = "text_model.encoder.layers." + std::to_string(index) + ".";
    for (const char* kind : {"weight", "bias"}) {
        if (rest == std::string("attn.in_proj_") + kind) {
            return thirds(prefix + layer + "self_attn.", {"q_proj.", "k_proj.", "v_proj."}, kind);
        }
    }
    return one(layer + rename_head(rest, {{"ln_1", "layer_norm1"},
                                          {"ln_2", "layer_norm2"},
                                          {"attn.out_proj", "self_attn.out_proj"},
                                          {"mlp.c_fc", "mlp.fc1"},
                                          {"mlp.c_proj", "mlp.fc2"}}));
}

// A ControlNet's names in diffusers' layout; a Union net has q, k and v in one matrix.
std::vector<NameMapping> map_control(const std::string& prefix, const std::string& rest) {
    static const char* const kHeads[] = {
        "conv_in.",    "time_embedding.",        "add_embedding.", "down_blocks.",       "mid_block.",
        "controlnet_", "control_add_embedding.", "task_embedding", "transformer_layes.", "spatial_ch_projs."};
    if (std::none_of(std::begin(kHeads), std::end(kHeads), [&](const char* h) { return starts_with(rest, h); })) {
        return {};
    }
    const std::string fused = "attn.in_proj_";
    const size_t at         = rest.find(fused);
    if (at == std::string::npos) {
        NameMapping m;
        m.canonical = prefix + rest;
        return {m};
    }
    return thirds(prefix + rest.substr(0, at) + "attn.", {"to_q.", "to_k.", "to_v."}, rest.substr(at + fused.size()));
}

struct Prefix {
    const char* text;
    int32_t role;
    bool original;
};

// Longest first where one is the head of another.
const Prefix kPrefixes[] = {
    {"control_model.", DG_ROLE_CONTROLNET, true},
    {"controlnet.", DG_ROLE_CONTROLNET, false},
    {"model.diffusion_model.", DG_ROLE_UNET, true},
    {"diffusion_model.", DG_ROLE_UNET, true},
    {"unet.", DG_ROLE_UNET, false},
    {"first_stage_model.", DG_ROLE_VAE, true},
    {"vae.", DG_ROLE_VAE, false},
    {"conditioner.embedders.0.transformer.", DG_ROLE_TEXT_ENCODER, true},
    {"conditioner.embedders.0.model.", DG_ROLE_TEXT_ENCODER_2, true},  // the refiner's only encoder
    {"conditioner.embedders.1.model.", DG_ROLE_TEXT_ENCODER_2, true},
    {"cond_stage_model.1.transformer.", DG_ROLE_TEXT_ENCODER_2, true},  // as sd.cpp writes GGUF
    {"cond_stage_model.1.model.", DG_ROLE_TEXT_ENCODER_2, true},
    {"cond_stage_model.transformer.", DG_ROLE_TEXT_ENCODER, true},
    {"text_encoder_2.", DG_ROLE_TEXT_ENCODER_2, false},
    {"text_encoder.", DG_ROLE_TEXT_ENCODER, false},
    {"text_encoders.clip_l.transformer.", DG_ROLE_TEXT_ENCODER, true},
    {"text_encoders.clip_g.transformer.", DG_ROLE_TEXT_ENCODER_2, true},
};

// What a name without any prefix belongs to, for files that hold one component.
int32_t guess_role(const std::string& name) {
    for (const char* head : {"input_blocks.", "output_blocks.", "middle_block.", "time_embed.", "label_emb.",
                             "down_blocks.", "up_blocks.", "mid_block.", "time_embedding.", "add_embedding.",
                             "conv_in.", "conv_out.", "conv_norm_out.", "out.0.", "out.2."}) {
        if (starts_with(name, head)) {
            return DG_ROLE_UNET;
        }
    }
    for (const char* head : {"encoder.", "decoder.", "quant_conv.", "post_quant_conv."}) {
        if (starts_with(name, head)) {
            return DG_ROLE_VAE;
        }
    }
    return DG_ROLE_MODEL;
}

struct Located {
    int32_t role = DG_ROLE_MODEL;
    std::string rest;
};

Located locate(const std::string& name, int32_t role) {
    Located at;
    for (const Prefix& p : kPrefixes) {
        if (starts_with(name, p.text)) {
            at.role = p.role;
            at.rest = name.substr(std::char_traits<char>::length(p.text));
            if ((role == DG_ROLE_TEXT_ENCODER || role == DG_ROLE_TEXT_ENCODER_2) &&
                (at.role == DG_ROLE_TEXT_ENCODER || at.role == DG_ROLE_TEXT_ENCODER_2)) {
                at.role = role;  // a lone encoder's file may be numbered for another model
            }
            return at;
        }
    }
    at.rest = name;
    at.role = role == DG_ROLE_MODEL ? guess_role(name) : role;
    return at;
}

bool is_original_unet(const std::string& rest) {
    for (const char* head : {"input_blocks.", "output_blocks.", "middle_block.", "time_embed.", "label_emb.", "out."}) {
        if (starts_with(rest, head)) {
            return true;
        }
    }
    return false;
}

}  // namespace

const char* component_prefix(int32_t role) {
    switch (role) {
        case DG_ROLE_UNET: return "unet.";
        case DG_ROLE_VAE: return "vae.";
        case DG_ROLE_TEXT_ENCODER: return "text_encoder.";
        case DG_ROLE_TEXT_ENCODER_2: return "text_encoder_2.";
        case DG_ROLE_CONTROLNET: return "controlnet.";
        case DG_ROLE_TAESD: return "taesd.";
        case DG_ROLE_UPSCALER: return "upscaler.";
        default: return "";
    }
}

bool is_known_extra(const std::string& name) {
    for (const char* head :
         {"alphas_cumprod", "betas", "sqrt_", "log_one_minus_alphas_cumprod", "posterior_", "model_ema.", "denoiser.",
          "ztsnr", "v_pred", "edm_vpred.", "embedding_manager", "loss."}) {
        if (starts_with(name, head)) {
            return true;
        }
    }
    for (const char* part : {"position_ids", "logit_scale", "attn_mask", "cond_proj", "vision_model.", "visual"}) {
        if (name.find(part) != std::string::npos) {
            return true;
        }
    }
    return false;
}

std::vector<std::vector<NameMapping>> map_names(const std::vector<std::string>& names, int32_t role, Layout* layout) {
    if (role == DG_ROLE_TAESD) {
        return map_taesd(names, layout);
    }
    if (role == DG_ROLE_UPSCALER) {
        return map_upscaler(names, layout);
    }
    UnetBlocks unet;
    ControlBlocks control;
    VaeBlocks vae;
    std::vector<Located> located;
    located.reserve(names.size());
    *layout = Layout::Diffusers;
    for (const std::string& name : names) {
        located.push_back(locate(name, role));
        const Located& at = located.back();
        if (at.role == DG_ROLE_UNET && is_original_unet(at.rest)) {
            unet.see(at.rest);
            *layout = Layout::Original;
        } else if (at.role == DG_ROLE_CONTROLNET &&
                   (is_original_unet(at.rest) || ControlBlocks::is_original(at.rest))) {
            control.see(at.rest);
            *layout = Layout::Original;
        } else if (at.role == DG_ROLE_VAE) {
            vae.see(at.rest);
            if (starts_with(at.rest, "decoder.up.") || starts_with(at.rest, "encoder.down.")) {
                *layout = Layout::Original;
            }
        } else if (starts_with(at.rest, "transformer.resblocks.")) {
            *layout = Layout::Original;
        }
    }
    unet.finish();
    control.finish();

    std::vector<std::vector<NameMapping>> result;
    result.reserve(names.size());
    for (size_t i = 0; i < names.size(); i++) {
        const Located& at        = located[i];
        const std::string prefix = component_prefix(at.role);
        std::vector<NameMapping> mapped;
        std::string plain;
        if (is_known_extra(names[i])) {
            // belongs nowhere
        } else if (at.role == DG_ROLE_UNET) {
            plain = is_original_unet(at.rest) ? unet.map(at.rest) : at.rest;
            if (guess_role(at.rest) != DG_ROLE_UNET) {
                plain.clear();  // an adapter's, say
            }
        } else if (at.role == DG_ROLE_CONTROLNET) {
            if (is_original_unet(at.rest) || ControlBlocks::is_original(at.rest)) {
                plain = control.map(at.rest);
            } else {
                mapped = map_control(prefix, at.rest);
            }
        } else if (at.role == DG_ROLE_VAE) {
            plain = vae.map(at.rest);
        } else if (at.role == DG_ROLE_TEXT_ENCODER || at.role == DG_ROLE_TEXT_ENCODER_2) {
            if (at.rest == "text_model.text_projection") {  // as sd.cpp writes GGUF
                mapped = map_open_clip(prefix, "text_projection");
            } else if (starts_with(at.rest, "text_model.") || at.rest == "text_projection.weight") {
                plain = at.rest;
            } else {
                mapped = map_open_clip(prefix, at.rest);
            }
        }
        if (!plain.empty()) {
            NameMapping m;
            m.canonical = prefix + plain;
            mapped.push_back(m);
        }
        result.push_back(std::move(mapped));
    }
    return result;
}

}  // namespace dg
