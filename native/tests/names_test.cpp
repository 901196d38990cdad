// Original, OpenCLIP and GGUF names against diffusers'.

#include "model/names.h"

#include <string>
#include <vector>

#include "check.h"
#include "daguerre.h"

namespace {

// The mapping of one name within a file that also holds `others`.
std::vector<dg::NameMapping> map_one(const std::string& name, std::vector<std::string> others = {},
                                     int32_t role = DG_ROLE_MODEL) {
    others.push_back(name);
    dg::Layout layout;
    return dg::map_names(others, role, &layout).back();
}

std::string canonical(const std::string& name, const std::vector<std::string>& others = {},
                      int32_t role = DG_ROLE_MODEL) {
    const auto mapped = map_one(name, others, role);
    return mapped.size() == 1 ? mapped[0].canonical : "";
}

// The blocks of SDXL's UNet that show where levels end.
const std::vector<std::string> kSdxl = [] {
    std::vector<std::string> names;
    const std::string m = "model.diffusion_model.";
    for (int i = 0; i < 9; i++) {
        names.push_back(m + "input_blocks." + std::to_string(i) +
                        (i == 3 || i == 6 ? ".0.op.weight" : ".0.in_layers.0.weight"));
        names.push_back(m + "output_blocks." + std::to_string(i) + ".0.in_layers.0.weight");
    }
    names.push_back(m + "output_blocks.2.2.conv.weight");
    names.push_back(m + "output_blocks.5.2.conv.weight");
    names.push_back(m + "middle_block.1.transformer_blocks.0.norm1.weight");
    return names;
}();

}  // namespace

CASE("the UNet's blocks by level") {
    const std::string m = "model.diffusion_model.";
    CHECK_EQ(canonical(m + "input_blocks.0.0.weight", kSdxl), std::string("unet.conv_in.weight"));
    CHECK_EQ(canonical(m + "input_blocks.3.0.op.bias", kSdxl),
             std::string("unet.down_blocks.0.downsamplers.0.conv.bias"));
    CHECK_EQ(canonical(m + "input_blocks.5.0.skip_connection.weight", kSdxl),
             std::string("unet.down_blocks.1.resnets.1.conv_shortcut.weight"));
    CHECK_EQ(canonical(m + "input_blocks.8.1.transformer_blocks.9.attn2.to_k.weight", kSdxl),
             std::string("unet.down_blocks.2.attentions.1.transformer_blocks.9.attn2.to_k.weight"));
    CHECK_EQ(canonical(m + "middle_block.1.proj_in.weight", kSdxl),
             std::string("unet.mid_block.attentions.0.proj_in.weight"));
    CHECK_EQ(canonical(m + "middle_block.2.out_layers.3.weight", kSdxl),
             std::string("unet.mid_block.resnets.1.conv2.weight"));
    CHECK_EQ(canonical(m + "output_blocks.2.2.conv.bias", kSdxl),
             std::string("unet.up_blocks.0.upsamplers.0.conv.bias"));
    CHECK_EQ(canonical(m + "output_blocks.4.0.emb_layers.1.weight", kSdxl),
             std::string("unet.up_blocks.1.resnets.1.time_emb_proj.weight"));
    CHECK_EQ(canonical(m + "output_blocks.8.0.in_layers.2.weight", kSdxl),
             std::string("unet.up_blocks.2.resnets.2.conv1.weight"));
    CHECK_EQ(canonical(m + "label_emb.0.2.weight", kSdxl), std::string("unet.add_embedding.linear_2.weight"));
    CHECK_EQ(canonical(m + "out.2.weight", kSdxl), std::string("unet.conv_out.weight"));
}

CASE("a middle block without attention (SSD-1B)") {
    CHECK_EQ(canonical("model.diffusion_model.middle_block.1.in_layers.0.weight"),
             std::string("unet.mid_block.resnets.1.norm1.weight"));
}

CASE("the VAE counts its decoder from the other side") {
    const std::vector<std::string> all = {"first_stage_model.decoder.up.3.block.0.norm1.weight"};
    CHECK_EQ(canonical("first_stage_model.decoder.up.3.block.2.conv1.weight", all),
             std::string("vae.decoder.up_blocks.0.resnets.2.conv1.weight"));
    CHECK_EQ(canonical("first_stage_model.decoder.up.0.block.0.nin_shortcut.weight", all),
             std::string("vae.decoder.up_blocks.3.resnets.0.conv_shortcut.weight"));
    CHECK_EQ(canonical("first_stage_model.encoder.down.1.downsample.conv.weight", all),
             std::string("vae.encoder.down_blocks.1.downsamplers.0.conv.weight"));
    CHECK_EQ(canonical("first_stage_model.encoder.mid.attn_1.q.weight", all),
             std::string("vae.encoder.mid_block.attentions.0.to_q.weight"));
    CHECK_EQ(canonical("decoder.mid_block.attentions.0.proj_attn.weight", all, DG_ROLE_VAE),
             std::string("vae.decoder.mid_block.attentions.0.to_out.0.weight"));
    CHECK_EQ(canonical("first_stage_model.post_quant_conv.bias", all), std::string("vae.post_quant_conv.bias"));
}

CASE("OpenCLIP's fused projections become three") {
    const auto mapped = map_one("conditioner.embedders.1.model.transformer.resblocks.7.attn.in_proj_weight");
    REQUIRE(mapped.size() == 3);
    CHECK_EQ(mapped[0].canonical, std::string("text_encoder_2.text_model.encoder.layers.7.self_attn.q_proj.weight"));
    CHECK_EQ(mapped[2].canonical, std::string("text_encoder_2.text_model.encoder.layers.7.self_attn.v_proj.weight"));
    CHECK_EQ(mapped[2].part, 2);
    CHECK_EQ(mapped[2].parts, 3);
    const auto projection = map_one("conditioner.embedders.1.model.text_projection");
    REQUIRE(projection.size() == 1);
    CHECK(projection[0].transpose);
}

CASE("the refiner's only encoder is the second kind") {
    CHECK_EQ(canonical("conditioner.embedders.0.model.ln_final.weight"),
             std::string("text_encoder_2.text_model.final_layer_norm.weight"));
}

CASE("files of one component need no prefix") {
    CHECK_EQ(canonical("text_model.final_layer_norm.bias", {}, DG_ROLE_TEXT_ENCODER_2),
             std::string("text_encoder_2.text_model.final_layer_norm.bias"));
    CHECK_EQ(canonical("down_blocks.0.resnets.0.conv1.weight", {}, DG_ROLE_UNET),
             std::string("unet.down_blocks.0.resnets.0.conv1.weight"));
    CHECK_EQ(canonical("input_blocks.0.0.weight"), std::string("unet.conv_in.weight"));
}

CASE("what belongs nowhere is left out") {
    CHECK_EQ(canonical("model_ema.decay"), std::string(""));
    CHECK_EQ(canonical("conditioner.embedders.0.transformer.text_model.embeddings.position_ids"), std::string(""));
    CHECK_EQ(canonical("lora_unet_mid_block_attentions_0_proj_in.lora_up.weight"), std::string(""));
}

CHECK_MAIN()
