"""Make a Control-LoRA of the nano ControlNet: what training changed of the base's weights, as products of a small rank.

    python control_lora.py --rank 8 --out ../../models/nano/nano-control-lora-canny.safetensors

The best product of a rank, in least squares, is that of the largest singular values. Tensors that are no matrices, and those that
the base does not have, are taken as they are. Names are those of Stability's control-lora files.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import singlefile
import to_diffusers

MODELS = Path(__file__).resolve().parents[2] / "models" / "nano"
HINT, DOWN, MID = "controlnet_cond_embedding.", "controlnet_down_blocks.", "controlnet_mid_block."


def hint_name(name, blocks):
    """The original name of a tensor of the hint's network, in which every second layer is SiLU."""
    stem, tail = name.removeprefix(HINT).rsplit(".", 1)
    layer = {"conv_in": 0, "conv_out": blocks + 1}.get(stem)
    if layer is None:
        layer = int(stem.removeprefix("blocks.")) + 1
    return f"input_hint_block.{2 * layer}.{tail}"


def original(net):
    """diffusers' names of a ControlNet -> the original ones."""
    blocks = sum(name.startswith(HINT + "blocks.") and name.endswith(".weight") for name in net)
    out, unet = {}, {}
    for name, t in net.items():
        if name.startswith(HINT):
            out[hint_name(name, blocks)] = t
        elif name.startswith(DOWN):
            index, tail = name.removeprefix(DOWN).split(".")
            out[f"zero_convs.{index}.0.{tail}"] = t
        elif name.startswith(MID):
            out[f"middle_block_out.0.{name.removeprefix(MID)}"] = t
        else:
            unet[name] = t
    return out | singlefile.rename_unet_to_original(unet)


def product(difference, rank):
    """(up, down) of a matrix or of a kernel."""
    u, s, v = torch.linalg.svd(difference.flatten(1), full_matrices=False)
    root = s[:rank].sqrt()
    up, down = u[:, :rank] * root, root[:, None] * v[:rank]
    if difference.dim() == 4:
        up = up[:, :, None, None]
    return up, down.reshape(-1, *difference.shape[1:])


def main(args):
    base, _ = to_diffusers.read(args.base)
    out = {"lora_controlnet": torch.zeros(0)}
    left = total = 0.0
    for name, t in original(load_file(args.net)).items():
        t, was = t.float(), base.get(singlefile.UNET + name)
        stem = name.removesuffix(".weight")
        if was is None or t.dim() < 2 or stem == name:
            out[name] = t
            continue
        difference = t - was.float()
        up, down = product(difference, args.rank)
        if up.numel() + down.numel() >= t.numel():
            out[name] = t
            continue
        out[stem + ".up"], out[stem + ".down"] = up, down
        rest = difference.flatten(1) - up.flatten(1) @ down.flatten(1)
        left, total = left + rest.square().sum().item(), total + difference.square().sum().item()
    save_file({k: v.half().contiguous() for k, v in out.items()}, args.out, metadata={
        "format": "pt", "modelspec.license": "MIT", "modelspec.title": "Daguerre nano Control-LoRA: Canny edges"})
    print(f"{args.out}: {Path(args.out).stat().st_size} bytes; rank {args.rank} leaves out {left / total:.1%} of the differences' squares")


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--base", default=MODELS / "nano-base.safetensors.gz")
    p.add_argument("--net", default=MODELS / "nano-controlnet-canny.safetensors")
    p.add_argument("--rank", type=int, default=8)
    p.add_argument("--out", required=True)
    main(p.parse_args())
