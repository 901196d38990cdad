"""Names of an SDXL checkpoint in its original single-file layout against diffusers' names.

Both directions come from one table of prefixes, built from the UNet's and the VAE's shape,
so `to_diffusers(to_single(x)) == x` for every tensor.
"""

import re

import torch

from arch import REFINER_LAYERS

ATTENDING = (1, 2)  # levels with attention, of base and refiner
UNET, VAE = "model.diffusion_model.", "first_stage_model."
TEXT_1, TEXT_2 = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
REFINER_TEXT = "conditioner.embedders.0.model."

_UNET_RESNET = {"in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj",
                "out_layers.0": "norm2", "out_layers.3": "conv2", "skip_connection": "conv_shortcut"}
_VAE_RESNET = {"norm1": "norm1", "conv1": "conv1", "norm2": "norm2", "conv2": "conv2", "nin_shortcut": "conv_shortcut"}
_VAE_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}


def _under(original, diffusers, parts=None):
    if parts is None:
        return {original: diffusers}
    return {f"{original}.{o}": f"{diffusers}.{d}" for o, d in parts.items()}


def unet_prefixes(layers=(2, 2, 2)):
    """{original module: diffusers module} for this many resnets at each level. Attention is mapped wherever it may be; absent
    names do no harm."""
    m = {"input_blocks.0.0": "conv_in", "time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2",
         "label_emb.0.0": "add_embedding.linear_1", "label_emb.0.2": "add_embedding.linear_2",
         "out.0": "conv_norm_out", "out.2": "conv_out"}
    k, levels = 1, len(layers)
    for i in range(levels):
        for j in range(layers[i]):
            m |= _under(f"input_blocks.{k}.0", f"down_blocks.{i}.resnets.{j}", _UNET_RESNET)
            m |= _under(f"input_blocks.{k}.1", f"down_blocks.{i}.attentions.{j}")
            k += 1
        if i < levels - 1:
            m[f"input_blocks.{k}.0.op"] = f"down_blocks.{i}.downsamplers.0.conv"
            k += 1
    for n, name in enumerate(("resnets.0", "attentions.0", "resnets.1")):
        m |= _under(f"middle_block.{n}", f"mid_block.{name}", None if "att" in name else _UNET_RESNET)
    k = 0
    for i in range(levels):
        last = layers[-1 - i]
        for j in range(last + 1):
            m |= _under(f"output_blocks.{k}.0", f"up_blocks.{i}.resnets.{j}", _UNET_RESNET)
            m |= _under(f"output_blocks.{k}.1", f"up_blocks.{i}.attentions.{j}")
            if j == last and i < levels - 1:
                slot = 2 if levels - 1 - i in ATTENDING else 1  # after the attention, if there is one
                m[f"output_blocks.{k}.{slot}.conv"] = f"up_blocks.{i}.upsamplers.0.conv"
            k += 1
    return m


def vae_prefixes(levels=4, layers=1):
    m = {"quant_conv": "quant_conv", "post_quant_conv": "post_quant_conv"}
    for side, count in (("encoder", layers), ("decoder", layers + 1)):
        m |= {f"{side}.conv_in": f"{side}.conv_in", f"{side}.conv_out": f"{side}.conv_out", f"{side}.norm_out": f"{side}.conv_norm_out"}
        m |= _under(f"{side}.mid.block_1", f"{side}.mid_block.resnets.0", _VAE_RESNET)
        m |= _under(f"{side}.mid.attn_1", f"{side}.mid_block.attentions.0", _VAE_ATTENTION)
        m |= _under(f"{side}.mid.block_2", f"{side}.mid_block.resnets.1", _VAE_RESNET)
        for i in range(levels):
            orig = f"encoder.down.{i}" if side == "encoder" else f"decoder.up.{levels - 1 - i}"  # the decoder counts from the picture
            diff = f"encoder.down_blocks.{i}" if side == "encoder" else f"decoder.up_blocks.{i}"
            for j in range(count):
                m |= _under(f"{orig}.block.{j}", f"{diff}.resnets.{j}", _VAE_RESNET)
            way = "downsample" if side == "encoder" else "upsample"
            m[f"{orig}.{way}.conv"] = f"{diff}.{way}rs.0.conv"
    return m


def _rename(tensors, prefixes):
    out = {}
    for name, t in tensors.items():
        parts = name.split(".")
        for n in range(len(parts) - 1, 0, -1):
            head = ".".join(parts[:n])
            if head in prefixes:
                out[".".join([prefixes[head], *parts[n:]])] = t
                break
        else:
            raise KeyError(f"no rule for {name}")
    return out


_invert = lambda m: {d: o for o, d in m.items()}
_VAE_LINEAR = re.compile(r"mid\.attn_1\.(q|k|v|proj_out)\.weight$")

# OpenCLIP's names against Hugging Face's, inside one layer.
_OPENCLIP_LAYER = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2",
                   "attn.out_proj": "self_attn.out_proj"}


def _openclip(hf, layers):
    """HF CLIPTextModelWithProjection -> OpenCLIP."""
    out = {"token_embedding.weight": hf["text_model.embeddings.token_embedding.weight"],
           "positional_embedding": hf["text_model.embeddings.position_embedding.weight"],
           "text_projection": hf["text_projection.weight"].T}
    for kind in ("weight", "bias"):
        out[f"ln_final.{kind}"] = hf[f"text_model.final_layer_norm.{kind}"]
        for i in range(layers):
            a, b = f"transformer.resblocks.{i}.", f"text_model.encoder.layers.{i}."
            for o, h in _OPENCLIP_LAYER.items():
                out[f"{a}{o}.{kind}"] = hf[f"{b}{h}.{kind}"]
            out[f"{a}attn.in_proj_{kind}"] = torch.cat([hf[f"{b}self_attn.{p}_proj.{kind}"] for p in "qkv"])
    return out


def _from_openclip(oc):
    layers = 1 + max(int(k.split(".")[2]) for k in oc if k.startswith("transformer.resblocks."))
    out = {"text_model.embeddings.token_embedding.weight": oc["token_embedding.weight"],
           "text_model.embeddings.position_embedding.weight": oc["positional_embedding"],
           "text_projection.weight": oc["text_projection"].T}
    for kind in ("weight", "bias"):
        out[f"text_model.final_layer_norm.{kind}"] = oc[f"ln_final.{kind}"]
        for i in range(layers):
            a, b = f"transformer.resblocks.{i}.", f"text_model.encoder.layers.{i}."
            for o, h in _OPENCLIP_LAYER.items():
                out[f"{b}{h}.{kind}"] = oc[f"{a}{o}.{kind}"]
            for p, t in zip("qkv", oc[f"{a}attn.in_proj_{kind}"].chunk(3)):
                out[f"{b}self_attn.{p}_proj.{kind}"] = t
    return out


def rename_unet_to_original(tensors):
    """A UNet's (or its LoRA's) diffusers names -> SDXL's original names, without the checkpoint's prefix."""
    return _rename(tensors, _invert(unet_prefixes()))


def refiner_to_single(unet, text_2):
    """A refiner's UNet under diffusers' names and a base checkpoint's second text encoder under its original ones -> one checkpoint."""
    renamed = _rename(unet, _invert(unet_prefixes(REFINER_LAYERS)))
    return {UNET + k: v for k, v in renamed.items()} | {REFINER_TEXT + k.removeprefix(TEXT_2): v for k, v in text_2.items()}


def refiner_to_diffusers(single):
    """A refiner checkpoint -> dict of state dicts unet, text_encoder_2."""
    part = lambda prefix: {k[len(prefix):]: v for k, v in single.items() if k.startswith(prefix)}
    out = dict(unet=_rename(part(UNET), unet_prefixes(REFINER_LAYERS)), text_encoder_2=_from_openclip(part(REFINER_TEXT)))
    return {c: {k: v.contiguous() for k, v in s.items()} for c, s in out.items()}


def to_single(unet, vae, text_1, text_2):
    """State dicts under diffusers' names (text encoders with the text_model. prefix) -> one checkpoint."""
    out = {}
    out.update({UNET + k: v for k, v in rename_unet_to_original(unet).items()})
    for k, v in _rename(vae, _invert(vae_prefixes())).items():
        out[VAE + k] = v[:, :, None, None] if _VAE_LINEAR.search(k) else v
    out.update({TEXT_1 + k: v for k, v in text_1.items()})
    layers = 1 + max(int(k.split(".")[3]) for k in text_2 if ".layers." in k)
    out.update({TEXT_2 + k: v for k, v in _openclip(text_2, layers).items()})
    return {k: v.contiguous() for k, v in out.items()}


def to_diffusers(single):
    """One checkpoint -> dict of state dicts unet, vae, text_encoder, text_encoder_2."""
    part = lambda prefix: {k[len(prefix):]: v for k, v in single.items() if k.startswith(prefix)}
    vae = {k: v[:, :, 0, 0] if _VAE_LINEAR.search(k) else v for k, v in part(VAE).items()}
    out = dict(unet=_rename(part(UNET), unet_prefixes()), vae=_rename(vae, vae_prefixes()),
               text_encoder=part(TEXT_1), text_encoder_2=_from_openclip(part(TEXT_2)))
    return {c: {k: v.contiguous() for k, v in s.items()} for c, s in out.items()}
