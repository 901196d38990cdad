"""Turn a nano single file into a folder that StableDiffusionXLPipeline.from_pretrained loads.

    python to_diffusers.py nano-base.safetensors[.gz] FOLDER [--dtype f16|f32]
"""

import argparse
import gzip
import json
import pathlib

import torch
from safetensors.torch import load

import arch
import singlefile
import tokenizer

SCHEDULER_CLASS = "EulerDiscreteScheduler"


def read(path):
    """Tensors and metadata of a safetensors file, which may be compressed."""
    raw = pathlib.Path(path).read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    size = int.from_bytes(raw[:8], "little")
    return load(raw), json.loads(raw[8:8 + size]).get("__metadata__", {})


def components(path, dtype=torch.float32):
    """The four modules in eval mode and the file's daguerre.config."""
    tensors, meta = read(path)
    config = json.loads(meta["daguerre.config"])
    states = singlefile.to_diffusers(tensors)
    vae, unet, (one, two) = arch.make_vae(), arch.make_unet(), arch.make_text_encoders()
    vae.register_to_config(scaling_factor=config["vae"]["scaling_factor"], force_upcast=config["vae"]["force_upcast"])
    modules = dict(unet=unet, vae=vae, text_encoder=one, text_encoder_2=two)
    for name, module in modules.items():
        state = states[name]
        if name == "text_encoder" and not hasattr(module, "text_model"):  # transformers 5
            state = {k.removeprefix("text_model."): v for k, v in state.items()}
        missing, unexpected = module.load_state_dict(state, strict=False)
        missing = [k for k in missing if not k.endswith("position_ids")]
        assert not missing and not unexpected, (name, missing, unexpected)
        module.to(dtype).eval()
    return modules, config


def pipeline(path, tokenizers, dtype=torch.float32):
    """A StableDiffusionXLPipeline with the scheduler and defaults of the file."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    modules, config = components(path, dtype)
    scheduler = EulerDiscreteScheduler(**{k: v for k, v in config["scheduler"].items() if not k.startswith("_")})
    one, two = tokenizer.load(tokenizers)
    pipe = StableDiffusionXLPipeline(tokenizer=one, tokenizer_2=two, scheduler=scheduler, add_watermarker=False,
                                     force_zeros_for_empty_prompt=config["force_zeros_for_empty_prompt"], **modules)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def refiner(path, base, dtype=torch.float32):
    """A StableDiffusionXLImg2ImgPipeline of a refiner file that continues the base pipeline's latents."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLImg2ImgPipeline

    tensors, meta = read(path)
    config, states = json.loads(meta["daguerre.config"]), singlefile.refiner_to_diffusers(tensors)
    unet, text = arch.make_refiner(), arch.make_text_encoders()[1]
    for module, state in ((unet, states["unet"]), (text, states["text_encoder_2"])):
        missing, unexpected = module.load_state_dict(state, strict=False)
        assert not unexpected and all(k.endswith("position_ids") for k in missing), (missing, unexpected)
        module.to(dtype).eval()
    pipe = StableDiffusionXLImg2ImgPipeline(
        vae=base.vae, text_encoder=None, tokenizer=None, text_encoder_2=text, tokenizer_2=base.tokenizer_2, unet=unet,
        scheduler=EulerDiscreteScheduler(**{k: v for k, v in config["scheduler"].items() if not k.startswith("_")}),
        requires_aesthetics_score=True, force_zeros_for_empty_prompt=config["force_zeros_for_empty_prompt"], add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def controlnet(path, base, dtype=torch.float32):
    """A StableDiffusionXLControlNetPipeline of the base pipeline's parts and a ControlNet file."""
    from diffusers import StableDiffusionXLControlNetPipeline

    net = arch.make_controlnet(base.unet)
    net.load_state_dict(read(path)[0])
    pipe = StableDiffusionXLControlNetPipeline(**base.components | dict(controlnet=net.to(dtype).eval()), add_watermarker=False,
                                               force_zeros_for_empty_prompt=base.config.force_zeros_for_empty_prompt)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def write(path, folder, dtype=torch.float16):
    folder = pathlib.Path(folder)
    pipe = pipeline(path, folder, dtype)
    pipe.save_pretrained(str(folder), safe_serialization=True)
    tokenizer.write(folder)  # transformers 5 saves its own format; SDXL folders have vocab.json and merges.txt
    return pipe


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("file")
    p.add_argument("folder")
    p.add_argument("--dtype", choices=["f16", "f32"], default="f16")
    a = p.parse_args()
    write(a.file, a.folder, {"f16": torch.float16, "f32": torch.float32}[a.dtype])
