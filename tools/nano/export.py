"""Write the trained weights as one F16 safetensors file in SDXL's original layout, and compress it.

    python export.py --run RUN --out ../../models/nano/nano-base.safetensors.gz [--checkpoint unet.pt]
"""

import argparse
import gzip
import hashlib
import json
import pathlib

import torch
from safetensors.torch import save

import arch
import singlefile

DEFAULT = dict(width=128, height=128, num_inference_steps=20, guidance_scale=5.0)


def config(scaling_factor, default=DEFAULT):
    """What the weights do not tell, under diffusers' key names."""
    from diffusers import EulerDiscreteScheduler

    full = {k: v for k, v in EulerDiscreteScheduler(**arch.SCHEDULER).config.items() if not k.startswith("_")}
    return {
        "unet": {"norm_num_groups": arch.UNET_GROUPS},
        "vae": {"norm_num_groups": arch.VAE_GROUPS, "scaling_factor": scaling_factor, "force_upcast": False},
        "scheduler": {"_class_name": "EulerDiscreteScheduler", **full},
        "text_encoder": {"hidden_act": "quick_gelu"},
        "text_encoder_2": {"hidden_act": "gelu"},
        "default": default,
        "force_zeros_for_empty_prompt": True,
    }


def widen(state, used):
    """Put the compact token table's rows at their places in CLIP's vocabulary; other rows are zero."""
    out = {}
    for k, v in state.items():
        if k.endswith("token_embedding.weight"):
            full = torch.zeros(arch.VOCAB, v.shape[1])
            full[torch.tensor(used)] = v[1:]
            v = full
        if not k.endswith("position_ids"):
            out[k if k.startswith("text_") else "text_model." + k] = v
    return out


def checkpoint(run, name):
    """(EMA weights, used tokens, scaling factor, step) of a final file, snapshot or resumable checkpoint."""
    ck = torch.load(run / name, weights_only=False, map_location="cpu")
    return ck["ema"], ck["used"], ck["scaling_factor"], ck["step"]


def export(run, name="unet.pt", default=DEFAULT):
    """Bytes of the safetensors file."""
    ema, used, scaling_factor, step = checkpoint(run, name)
    part = lambda p: {k[len(p):]: v for k, v in ema.items() if k.startswith(p)}
    vae = torch.load(run / "vae.pt")
    single = singlefile.to_single(part("unet."), vae, widen(part("one."), used), widen(part("two."), used))
    # Scaling factor to 6 digits: it is written into files as decimal text.
    meta = {"modelspec.architecture": "stable-diffusion-xl-v1-base", "modelspec.title": "Daguerre nano base",
            "modelspec.license": "MIT", "daguerre.training_steps": str(step),
            "daguerre.config": json.dumps(config(round(scaling_factor, 6), default)), "format": "pt"}
    return save({k: v.to(torch.float16) for k, v in sorted(single.items())}, meta)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--run", type=pathlib.Path, required=True)
    p.add_argument("--out", type=pathlib.Path, required=True, help="ends in .safetensors or .safetensors.gz")
    p.add_argument("--checkpoint", default="unet.pt")
    p.add_argument("--guidance", type=float, default=DEFAULT["guidance_scale"])
    a = p.parse_args()
    raw = export(a.run, a.checkpoint, {**DEFAULT, "guidance_scale": a.guidance})
    data = gzip.compress(raw, 9, mtime=0) if a.out.suffix == ".gz" else raw
    digest = hashlib.sha256(raw).hexdigest()
    a.out.with_name(a.out.name.split(".")[0] + ".sha256").write_text(digest + "\n")  # of the unpacked file
    tmp = a.out.with_name(a.out.name + ".tmp")
    tmp.write_bytes(data)
    tmp.replace(a.out)
    print(f"{a.out.name}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}; raw {len(raw)} bytes, sha256 {digest}")
