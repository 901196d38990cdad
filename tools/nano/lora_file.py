"""LoRAs of the nano UNet as files: kohya's and PEFT's names, written and read back.

kohya's names are those of SDXL's original layout with underscores: lora_unet_input_blocks_4_1_..., with lora_down, lora_up and
alpha; PEFT's (which diffusers writes) are unet.down_blocks.1.attentions.0..., with lora_A and lora_B, alpha equal to the rank.
"""

import json

import torch
from safetensors import safe_open
from safetensors.torch import save_file

import singlefile


def _original(module):
    """diffusers' module name -> SDXL's original one."""
    return next(iter(singlefile.rename_unet_to_original({module + ".weight": None}))).removesuffix(".weight")


def write_kohya(path, pairs, alpha, rank, metadata):
    """pairs: {diffusers module: (down, up)}."""
    out = {}
    for module, (down, up) in pairs.items():
        name = "lora_unet_" + _original(module).replace(".", "_")
        out |= {name + ".lora_down.weight": down, name + ".lora_up.weight": up, name + ".alpha": torch.tensor(float(alpha))}
    meta = {"ss_network_module": "networks.lora", "ss_network_dim": str(rank), "ss_network_alpha": str(float(alpha)),
            "ss_network_args": json.dumps({"conv_dim": str(rank), "conv_alpha": str(float(alpha))}),
            "ss_base_model_version": "sdxl_base_v1-0", **metadata}
    save_file({k: v.to(torch.float16).contiguous() for k, v in out.items()}, path, metadata=meta)


def write_peft(path, pairs, metadata):
    out = {}
    for module, (down, up) in pairs.items():
        out |= {f"unet.{module}.lora_A.weight": down, f"unet.{module}.lora_B.weight": up}
    save_file({k: v.to(torch.float16).contiguous() for k, v in out.items()}, path, metadata={"format": "pt", **metadata})


def read(path, unet):
    """{diffusers module: delta of its weight, F32} of either layout; every tensor of the file must find its place."""
    with safe_open(path, "pt") as f:
        tensors = {k: f.get_tensor(k).float() for k in f.keys()}
    modules = [k.removesuffix(".weight") for k, v in unet.state_dict().items() if k.endswith(".weight") and v.ndim > 1]
    deltas, used = {}, set()
    for module in modules:
        kohya, peft = "lora_unet_" + _original(module).replace(".", "_"), "unet." + module
        for down, up in ((kohya + ".lora_down.weight", kohya + ".lora_up.weight"), (peft + ".lora_A.weight", peft + ".lora_B.weight")):
            if down in tensors:
                a, b = tensors[down], tensors[up]
                scale = tensors.get(kohya + ".alpha", torch.tensor(float(len(a)))) / len(a)
                deltas[module] = scale * (b.flatten(1) @ a.flatten(1)).view(b.shape[0], *a.shape[1:])
                used |= {down, up, kohya + ".alpha"}
    assert set(tensors) <= used, sorted(set(tensors) - used)
    return deltas


@torch.no_grad()
def apply(path, unet, weight):
    """Add weight times the file's deltas to the UNet's weights."""
    for module, delta in read(path, unet).items():
        unet.get_submodule(module).weight += weight * delta.to(unet.dtype)
