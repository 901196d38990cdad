"""The nano architecture: SDXL's modules with small numbers, and their initialisation."""

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, UNet2DConditionModel
from transformers import (CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPVisionConfig,
                          CLIPVisionModelWithProjection)

VOCAB = 49408
TEXT_WIDTH = 64
UNET_GROUPS = 4  # 32 groups on 32 channels would be instance norm, which cannot carry a flat colour
VAE_GROUPS = 2
REFINER_LAYERS = (2, 1, 1, 1)
IMAGE_SIZE, IMAGE_DIM = 32, 64  # what the image encoder sees, in pixels, and the width of its embedding

# The noise schedule is SDXL's.
SCHEDULER = dict(
    num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
    prediction_type="epsilon", interpolation_type="linear", use_karras_sigmas=False,
    timestep_spacing="leading", steps_offset=1,
)


def make_vae():
    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, sample_size=128,
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=(16, 32, 64, 64), layers_per_block=1, norm_num_groups=VAE_GROUPS,
    )


def make_unet():
    channels = (32, 64, 128)
    return UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, block_out_channels=channels, layers_per_block=2,
        down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        transformer_layers_per_block=(1, 1, 1),
        attention_head_dim=tuple(max(1, c // 64) for c in channels),  # number of heads, diffusers' old misnomer
        cross_attention_dim=2 * TEXT_WIDTH, use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=TEXT_WIDTH + 6 * 256, norm_num_groups=UNET_GROUPS,
    )


def text_configs(vocab=VOCAB):
    common = dict(
        vocab_size=vocab, hidden_size=TEXT_WIDTH, intermediate_size=4 * TEXT_WIDTH, num_hidden_layers=3,
        num_attention_heads=TEXT_WIDTH // 64, max_position_embeddings=77, projection_dim=TEXT_WIDTH,
        # As in SDXL's own config files; with eos_token_id=2 transformers pools at the largest id, which is <|endoftext|>.
        bos_token_id=0, eos_token_id=2, pad_token_id=1,
    )
    return CLIPTextConfig(hidden_act="quick_gelu", **common), CLIPTextConfig(hidden_act="gelu", **common)


def make_text_encoders(vocab=VOCAB):
    one, two = text_configs(vocab)
    return CLIPTextModel(one), CLIPTextModelWithProjection(two)


def make_controlnet(unet):
    """SDXL's ControlNet at the UNet's size, starting as its way down; nothing at the third level attends (which keeps it under 5 MB)."""
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 8, 16, 32))
    config = dict(net.config) | dict(down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"])
    small = ControlNetModel.from_config(config)
    small.load_state_dict(net.state_dict(), strict=False)
    return small


def make_refiner():
    """SDXL's refiner: four levels, attention at the middle two, the second text encoder only, five size ids. What the base has
    more of at the lower levels (width, resnets) is left out: low noise asks for detail."""
    channels = (32, 64, 64, 64)
    return UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, block_out_channels=channels, layers_per_block=REFINER_LAYERS,
        down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        transformer_layers_per_block=1, attention_head_dim=tuple(max(1, c // 64) for c in channels),
        cross_attention_dim=TEXT_WIDTH, use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=256, projection_class_embeddings_input_dim=TEXT_WIDTH + 5 * 256, norm_num_groups=UNET_GROUPS,
    )


def make_tiny():
    """TAESD at a quarter of its width."""
    return AutoencoderTiny(encoder_block_out_channels=(16,) * 4, decoder_block_out_channels=(16,) * 4)


def make_image_encoder():
    """CLIP's image encoder, with the whole picture as its only patch: cheap to train, and enough for one shape."""
    return CLIPVisionModelWithProjection(CLIPVisionConfig(
        hidden_size=128, intermediate_size=256, projection_dim=IMAGE_DIM, num_hidden_layers=3, num_attention_heads=2,
        image_size=IMAGE_SIZE, patch_size=IMAGE_SIZE, hidden_act="gelu"))


def init_image_encoder(net):
    for name, p in net.named_parameters():
        if "position_embedding" in name or "class_embedding" in name:
            torch.nn.init.normal_(p, std=0.5)
        elif p.ndim >= 2:
            _fan_in_normal(p, 0.5 if ("out_proj" in name or "fc2" in name) else 1.0)


def _fan_in_normal(p, gain=1.0):
    torch.nn.init.normal_(p, std=gain * p[0].numel() ** -0.5)


def init_vae(vae):
    for name, m in vae.named_modules():
        if isinstance(m, torch.nn.Conv2d):
            _fan_in_normal(m.weight)
            torch.nn.init.zeros_(m.bias)
        if name.endswith(("conv2", "to_out.0")):  # residual branches begin as nothing
            torch.nn.init.zeros_(m.weight)
            torch.nn.init.zeros_(m.bias)
    _fan_in_normal(vae.decoder.conv_out.weight, 0.5)
    torch.nn.init.zeros_(vae.quant_conv.bias)
    vae.quant_conv.bias.data[4:] = -6  # log variance: begin almost without noise


def init_unet(unet):
    for name, m in unet.named_modules():
        if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear)):
            _fan_in_normal(m.weight)
            if m.bias is not None:
                torch.nn.init.zeros_(m.bias)
        if name.endswith(("conv2", "proj_out", "conv_out")):
            torch.nn.init.zeros_(m.weight)


def init_text(text):
    for name, p in text.named_parameters():
        if "token_embedding" in name:
            torch.nn.init.normal_(p, std=0.5)
        elif "position_embedding" in name:
            torch.nn.init.normal_(p, std=0.25)
        elif p.ndim == 2:
            _fan_in_normal(p, 0.5 if ("out_proj" in name or "fc2" in name) else 1.0)


def count(module):
    return sum(p.numel() for p in module.parameters())
