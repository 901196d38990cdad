"""SDXL base at full size in PyTorch (diffusers) or OpenVINO, timed phase by phase.

The weights are random: hubs are not needed, and the time of dense products does not depend on them. Shapes, steps and threads are those
that tools/stock/compare gives all its variants: both prompts through both text encoders, steps of two guided UNet
evaluations in one batch of two, one VAE decoding. Prints one JSON object:

    {"text_seconds": 0.9, "step_seconds": [1.2, 1.1], "decode_seconds": 0.8}

with null for what was not run. `--runtime openvino` runs the UNet alone, from an intermediate representation that is made on the
first call and kept in --cache.
"""

import argparse
import json
import os
import sys
import time

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

TOKENS = 77
LATENT = 8  # pixels per latent cell and side

# The config.json files of stabilityai/stable-diffusion-xl-base-1.0, as far as they differ from the classes' defaults.
UNET = dict(
    sample_size=128, in_channels=4, out_channels=4, layers_per_block=2, cross_attention_dim=2048,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    block_out_channels=(320, 640, 1280), transformer_layers_per_block=(1, 2, 10), attention_head_dim=(5, 10, 20),
    use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256,
    projection_class_embeddings_input_dim=2816,
)
VAE = dict(
    block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=1024,
    down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
)
TEXT = CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
                      projection_dim=768)
TEXT_2 = CLIPTextConfig(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20,
                        projection_dim=1280, hidden_act="gelu")


def build(make, dtype):
    """The module that make() describes, with small random weights of a type."""
    with torch.device("meta"):
        module = make()
    module = module.to(dtype).to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    for tensor in list(module.parameters()) + list(module.buffers()):
        if tensor.is_floating_point():
            block = torch.randn(min(tensor.numel(), 1 << 16), generator=generator) * 0.02
            flat = tensor.data.view(-1)
            for start in range(0, flat.numel(), block.numel()):
                part = flat[start:start + block.numel()]
                part.copy_(block[:part.numel()])
        else:
            tensor.data.copy_(torch.arange(tensor.numel()).view_as(tensor) % TOKENS)  # position ids
    return module


def timed(call):
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def unet_inputs(size, dtype):
    side = size // LATENT
    return dict(
        sample=torch.randn(2, 4, side, side, dtype=dtype), timestep=torch.tensor([500.0]),
        encoder_hidden_states=torch.randn(2, TOKENS, 2048, dtype=dtype),
        text_embeds=torch.randn(2, 1280, dtype=dtype), time_ids=torch.full((2, 6), float(size), dtype=dtype),
    )


class Unet(torch.nn.Module):
    """The UNet with its conditioning as plain arguments."""

    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, sample, timestep, encoder_hidden_states, text_embeds, time_ids):
        added = {"text_embeds": text_embeds, "time_ids": time_ids}
        return self.unet(sample, timestep, encoder_hidden_states, added_cond_kwargs=added, return_dict=False)[0]


def run_torch(args, dtype):
    out = {}
    encoders = [build(lambda: CLIPTextModel(TEXT), dtype), build(lambda: CLIPTextModelWithProjection(TEXT_2), dtype)]
    ids = torch.full((1, TOKENS), 49407)

    def encode():
        for _ in range(2):  # the prompt, then the negative prompt, as StableDiffusionXLPipeline does
            for encoder in encoders:
                encoder(ids, output_hidden_states=True)

    out["text_seconds"] = timed(encode)
    del encoders
    unet = Unet(build(lambda: UNet2DConditionModel(**UNET), dtype))
    inputs = unet_inputs(args.size, dtype)
    out["step_seconds"] = [timed(lambda: unet(**inputs)) for _ in range(args.steps)]
    del unet
    vae = build(lambda: AutoencoderKL(**VAE), dtype)
    latents = torch.randn(1, 4, args.size // LATENT, args.size // LATENT, dtype=dtype)
    out["decode_seconds"] = timed(lambda: vae.decode(latents))
    return out


def run_openvino(args, dtype):
    import openvino

    path = os.path.join(args.cache, "sdxl-base-unet.xml")
    core = openvino.Core()
    if not os.path.exists(path):
        unet = Unet(build(lambda: UNet2DConditionModel(**UNET), torch.float32))
        model = openvino.convert_model(unet, example_input=unet_inputs(args.size, torch.float32))
        os.makedirs(args.cache, exist_ok=True)
        openvino.save_model(model, path, compress_to_fp16=True)
        del model, unet
    hint = {torch.float32: "f32", torch.bfloat16: "bf16"}[dtype]
    model = core.read_model(path)
    shapes = {name: tuple(value.shape) for name, value in unet_inputs(args.size, torch.float32).items()}
    model.reshape({port: shapes[port.get_any_name()] for port in model.inputs})
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint,
                                                 "INFERENCE_NUM_THREADS": args.threads or os.cpu_count()})
    inputs = {name: value.numpy() for name, value in unet_inputs(args.size, torch.float32).items()}
    return {"text_seconds": None, "step_seconds": [timed(lambda: compiled(inputs)) for _ in range(args.steps)],
            "decode_seconds": None}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", choices=["torch", "openvino"], default="torch")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--size", type=int, default=256, help="side of the picture in pixels")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=0, help="0: the library's choice")
    parser.add_argument("--cache", default=".", help="folder for OpenVINO's representation (5 GB)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    run = {"torch": run_torch, "openvino": run_openvino}[args.runtime]
    with torch.inference_mode():
        result = run(args, getattr(torch, args.dtype))
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
