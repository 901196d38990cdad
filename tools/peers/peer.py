"""SDXL base at full size in PyTorch (diffusers) or OpenVINO, timed phase by phase.

The weights are random: hubs are not needed, and the time of dense products does not depend on them. Shapes, steps and threads are those
that tools/stock/compare gives all its variants: both prompts through both text encoders, steps of two guided UNet
evaluations in one batch of two, one VAE decoding. Prints one JSON object:

    {"load_seconds": 9.1, "text_seconds": 0.9, "step_seconds": [1.2, 1.1], "decode_seconds": 0.8}

Each part runs once before it is timed, so that what a runtime does only once (compiling, choosing kernels, packing weights) counts as
loading. --compile is torch.compile with frozen weights, and channels-last convolutions. --dtype int8 is OpenVINO's: weights in INT8 by
nncf, and activations quantized while it runs, in groups of 128; everything else is BF16. OpenVINO's intermediate representations are
made on the first call and kept in --cache.
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


class Decoder(torch.nn.Module):
    """The VAE's decoder."""

    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def forward(self, latents):
        return self.vae.decode(latents, return_dict=False)[0]


class Encoder(torch.nn.Module):
    """A text encoder: the hidden states before the last layer, and the pooled text."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, ids):
        out = self.encoder(ids, output_hidden_states=True)
        return out.hidden_states[-2], out[0]


def modules(dtype):
    """What makes each part, by its name."""
    return {
        "text": lambda: Encoder(build(lambda: CLIPTextModel(TEXT), dtype)),
        "text2": lambda: Encoder(build(lambda: CLIPTextModelWithProjection(TEXT_2), dtype)),
        "unet": lambda: Unet(build(lambda: UNet2DConditionModel(**UNET), dtype)),
        "vae": lambda: Decoder(build(lambda: AutoencoderKL(**VAE), dtype)),
    }


def inputs_of(part, size, dtype):
    if part == "unet":
        return unet_inputs(size, dtype)
    if part == "vae":
        return dict(latents=torch.randn(1, 4, size // LATENT, size // LATENT, dtype=dtype))
    return dict(ids=torch.full((1, TOKENS), 49407))


def measure(load, size, steps):
    """Times all parts. load(part) returns a function that runs it once."""
    out = {"load_seconds": 0.0}

    def ready(part):
        began = time.perf_counter()
        call = load(part)
        call()
        out["load_seconds"] += time.perf_counter() - began
        return call

    encoders = [ready("text"), ready("text2")]
    # The prompt, then the negative prompt, as StableDiffusionXLPipeline does.
    out["text_seconds"] = timed(lambda: [encode() for _ in range(2) for encode in encoders])
    del encoders
    step = ready("unet")
    out["step_seconds"] = [timed(step) for _ in range(steps)]
    del step
    out["decode_seconds"] = timed(ready("vae"))
    return out


def run_torch(args):
    dtype = getattr(torch, args.dtype)
    if args.compile:
        import torch._inductor.config

        torch._inductor.config.freezing = True

    def load(part):
        module, inputs = modules(dtype)[part](), inputs_of(part, args.size, dtype)
        if args.compile and part in ("unet", "vae"):
            module = torch.compile(module.to(memory_format=torch.channels_last))
        return lambda: module(**inputs)

    return measure(load, args.size, args.steps)


def run_openvino(args):
    import openvino

    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": {"float32": "f32"}.get(args.dtype, "bf16"),
               "INFERENCE_NUM_THREADS": args.threads or os.cpu_count()}
    if args.dtype == "int8":
        options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 128

    def path(part, kind):
        return os.path.join(args.cache, f"sdxl-base-{part}{kind}.xml")

    def convert(part):
        os.makedirs(args.cache, exist_ok=True)
        if not os.path.exists(path(part, "")):
            model = openvino.convert_model(modules(torch.float32)[part](), example_input=inputs_of(part, args.size, torch.float32))
            openvino.save_model(model, path(part, ""), compress_to_fp16=True)
        if args.dtype == "int8" and not os.path.exists(path(part, "-int8")):
            import nncf

            model = nncf.compress_weights(core.read_model(path(part, "")), mode=nncf.CompressWeightsMode.INT8_SYM)
            openvino.save_model(model, path(part, "-int8"))

    def load(part):
        model = core.read_model(path(part, "-int8" if args.dtype == "int8" else ""))
        inputs = {name: value.numpy() for name, value in inputs_of(part, args.size, torch.float32).items()}
        model.reshape({port: inputs[port.get_any_name()].shape for port in model.inputs})
        compiled = core.compile_model(model, "CPU", options)
        return lambda: compiled(inputs)

    for part in ("text", "text2", "unet", "vae"):
        convert(part)
    if args.convert:
        return {}
    return measure(load, args.size, args.steps)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", choices=["torch", "openvino"], default="torch")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "int8"], default="bfloat16")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--convert", action="store_true", help="only make OpenVINO's representations")
    parser.add_argument("--size", type=int, default=256, help="side of the picture in pixels")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=0, help="0: the library's choice")
    parser.add_argument("--cache", default=".", help="folder for OpenVINO's representations (7 GB, and 4 GB for int8)")
    args = parser.parse_args()
    if (args.runtime == "torch" and args.dtype == "int8") or (args.runtime == "openvino" and args.compile):
        parser.error("int8 is OpenVINO's, and --compile is PyTorch's")
    if args.threads:
        torch.set_num_threads(args.threads)
    with torch.inference_mode():
        result = {"torch": run_torch, "openvino": run_openvino}[args.runtime](args)
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
