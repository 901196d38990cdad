"""ControlNets, TAESD and ESRGAN: single evaluations, and whole runs of StableDiffusionXLControlNetPipeline.

All weights are synthetic (`daguerre models synth`), so that the tests can write the same files.
"""

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import (AutoencoderTiny, ControlNetModel, ControlNetUnionModel, MultiControlNetModel, StableDiffusionXLControlNetPipeline,
                       StableDiffusionXLControlNetUnionPipeline)
from PIL import Image

import arch
import runs
from refiner import part, synth

SEEDS = dict(one=11, two=12, union=13, taesd=14, esrgan=15)
CONTROL_TYPE = 3
HINT = (8, 16, 24, 32)
RUNS = {
    "control": dict(seed=42, nets=["one"], weights=[0.8], starts=[0.0], ends=[1.0]),
    "control_two": dict(seed=7, nets=["one", "two"], weights=[0.7, 0.5], starts=[0.0, 0.2], ends=[0.6, 1.0]),
    "control_guess": dict(seed=5, nets=["one"], weights=[1.0], starts=[0.0], ends=[1.0], control_mode="control"),
}

# Several pictures in one evaluation of a Union net.
UNION_RUNS = {
    "union_two": dict(seed=9, nets=["one", "two"], kinds=[3, 1], weights=[0.9, 0.6]),
    "union_guess": dict(seed=6, nets=["two", "one"], kinds=[5, 0], weights=[0.5, 1.2], control_mode="control",
                        guidance_scale=1.0),  # with guidance, diffusers 0.42.1 fails in guess mode
}


def control_net(kind, seed):
    channels = (32, 64, 128)
    common = dict(
        in_channels=4, down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"], block_out_channels=channels,
        layers_per_block=2, norm_num_groups=arch.UNET_GROUPS, cross_attention_dim=2 * arch.TEXT_WIDTH, transformer_layers_per_block=1,
        attention_head_dim=tuple(max(1, c // 64) for c in channels), use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=256, projection_class_embeddings_input_dim=arch.TEXT_WIDTH + 6 * 256,
        conditioning_embedding_out_channels=HINT)
    if kind == "nano-controlnet-union":
        net = ControlNetUnionModel(**common, num_control_type=6, num_trans_channel=32, num_trans_head=8, num_trans_layer=1, num_proj_channel=32)
    else:
        net = ControlNetModel(**common)
    net.load_state_dict(synth(kind, seed))
    return net.eval()


def pictures(store):
    """Two control pictures: an outline, and bars of grey."""
    y, x = np.mgrid[:128, :128]
    ring = (np.abs(np.hypot(x - 64, y - 60) - 34) < 1.5) * 255
    bars = (x // 16 * 17 + y // 32 * 30) % 256
    out = {}
    for name, value in dict(one=ring, two=bars).items():
        pixels = np.stack([value] * 3, -1).astype(np.uint8)
        store.picture(f"input_control_{name}", pixels, f"control picture of net {name}")
        out[name] = Image.fromarray(pixels)
    return out


def tensor(picture):
    return torch.from_numpy(np.asarray(picture)).permute(2, 0, 1)[None].float() / 255


def evaluations(store, pipe, nets, images):
    """Hint embedding and residuals, with the inputs of unet_n1."""
    latents = torch.from_numpy(np.load(store.folder / "unet_n1_latents.npy"))
    context, pooled, ids = (torch.from_numpy(np.load(store.folder / f"unet_n1_{k}.npy")) for k in ("context", "pooled", "time_ids"))
    t = torch.tensor([701.0])
    cond = dict(text_embeds=pooled, time_ids=ids)
    store.array("control_hint", nets["one"].controlnet_cond_embedding(tensor(images["one"])), "ControlNet one: embedding of its picture")
    down, mid = nets["one"](latents, t, context, tensor(images["one"]), 1.0, added_cond_kwargs=cond, return_dict=False)
    store.array("control_residuals", torch.cat([x.flatten() for x in (*down, mid)]), "ControlNet one: residuals for unet_n1, end to end")
    union = nets["union"]
    kind = torch.zeros(1, 6)
    kind[0, CONTROL_TYPE] = 1
    down, mid = union(latents, t, context, [tensor(images["two"])], kind, [CONTROL_TYPE], 1.0, added_cond_kwargs=cond, return_dict=False)
    store.array("control_union_residuals", torch.cat([x.flatten() for x in (*down, mid)]),
                f"Union ControlNet: residuals for unet_n1 and the second picture as kind {CONTROL_TYPE}, end to end")
    kind = torch.zeros(1, 6)
    kind[0, [CONTROL_TYPE, 1]] = 1
    down, mid = union(latents, t, context, [tensor(images["two"]), tensor(images["one"])], kind, [CONTROL_TYPE, 1], [0.8, 1.3],
                      added_cond_kwargs=cond, return_dict=False)
    store.array("control_union_two_residuals", torch.cat([x.flatten() for x in (*down, mid)]),
                f"Union ControlNet: residuals for unet_n1 and both pictures at once, as kinds {CONTROL_TYPE} and 1, at weights 0.8 and 1.3")
    residuals = [x for x in nets["one"](latents, t, context, tensor(images["one"]), 1.0, added_cond_kwargs=cond, return_dict=False)]
    out = pipe.unet(latents, t, context, added_cond_kwargs=cond, down_block_additional_residuals=residuals[0],
                    mid_block_additional_residual=residuals[1]).sample
    store.array("control_unet_out", out, "UNet evaluation unet_n1 with ControlNet one's residuals")


def taesd(store):
    vae = AutoencoderTiny()
    vae.load_state_dict(synth("taesd", SEEDS["taesd"]))
    pixels = torch.from_numpy(np.load(store.folder / "vae_square_pixels.npy"))[:, :, :64, :96]
    latents = 2 * torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(3))
    store.array("taesd_encoded", vae.encode(pixels).latents, "TAESD's encoding of the upper left 64 x 96 of vae_square_pixels")
    store.array("taesd_latents", latents, "latents for TAESD's decoder, in the UNet's range")
    store.array("taesd_decoded", vae.decode(latents).sample, "TAESD's decoding of taesd_latents")


def esrgan(weights, x):
    """RRDBNet of BasicSR, in functions."""
    conv = lambda name, v: F.conv2d(v, weights[name + ".weight"], weights[name + ".bias"], padding=1)
    leaky = lambda v: F.leaky_relu(v, 0.2)

    def dense(name, v):
        parts = [v]
        for k in range(1, 5):
            parts.append(leaky(conv(f"{name}.conv{k}", torch.cat(parts, 1))))
        return conv(f"{name}.conv5", torch.cat(parts, 1)) * 0.2 + v

    unshuffle = int((weights["conv_first.weight"].shape[1] // 3) ** 0.5)
    first = conv("conv_first", F.pixel_unshuffle(x, unshuffle))
    v, block = first, 0
    while f"body.{block}.rdb1.conv1.weight" in weights:
        inner = v
        for k in (1, 2, 3):
            inner = dense(f"body.{block}.rdb{k}", inner)
        v, block = inner * 0.2 + v, block + 1
    v = first + conv("conv_body", v)
    for k in (1, 2):
        v = leaky(conv(f"conv_up{k}", F.interpolate(v, scale_factor=2, mode="nearest")))
    return conv("conv_last", leaky(conv("conv_hr", v)))


def upscaler(store):
    weights = synth("esrgan", SEEDS["esrgan"])
    x = torch.from_numpy(np.load(store.folder / "vae_square_pixels.npy"))[:, :, 40:56, 40:64] / 2 + 0.5
    store.array("esrgan_pixels", x, "picture for the upscaler, [0, 1]")
    store.array("esrgan_out", esrgan(weights, x), "ESRGAN's output, four times as large")


def one(store, pipe, name, run, nets, images, file):
    """One of RUNS, written as run_{name}; file(net) says where a net comes from."""
    spec = dict(prompt=runs.RED, negative_prompt=None, guidance_scale=5.0, num_inference_steps=20, width=128, height=128, control_mode="balanced")
    spec.update(run)
    multi = len(spec["nets"]) > 1
    picked = [nets[k] for k in spec["nets"]]
    pick = (lambda v: v) if multi else (lambda v: v[0])
    control = StableDiffusionXLControlNetPipeline.from_pipe(pipe, controlnet=MultiControlNetModel(picked) if multi else picked[0])
    control.set_progress_bar_config(disable=True)
    latents = control(
        image=pick([images[k] for k in spec["nets"]]), controlnet_conditioning_scale=pick(spec["weights"]),
        control_guidance_start=pick(spec["starts"]), control_guidance_end=pick(spec["ends"]), guess_mode=spec["control_mode"] == "control",
        generator=torch.Generator().manual_seed(spec["seed"]), output_type="latent",
        **{k: spec[k] for k in ("prompt", "negative_prompt", "guidance_scale", "num_inference_steps", "width", "height")}).images
    store.array(f"run_{name}_latents", latents, f"run {name}: latents after the last step")
    spec["net_files"] = [file(k) for k in spec["nets"]]
    store.json(f"run_{name}", spec, f"run {name}: the request")


def joined(store, pipe, name, run, net, images):
    """One of UNION_RUNS."""
    spec = dict(prompt=runs.RED, negative_prompt=None, guidance_scale=5.0, num_inference_steps=20, width=128, height=128, control_mode="balanced")
    spec.update(run)
    control = StableDiffusionXLControlNetUnionPipeline.from_pipe(pipe, controlnet=net)
    control.set_progress_bar_config(disable=True)
    latents = control(
        control_image=[images[k] for k in spec["nets"]], control_mode=spec["kinds"], controlnet_conditioning_scale=spec["weights"],
        guess_mode=spec["control_mode"] == "control", generator=torch.Generator().manual_seed(spec["seed"]), output_type="latent",
        **{k: spec[k] for k in ("prompt", "negative_prompt", "guidance_scale", "num_inference_steps", "width", "height")}).images
    store.array(f"run_{name}_latents", latents, f"run {name}: latents after the last step")
    spec["net_files"] = [f"daguerre models synth --kind nano-controlnet-union --seed {SEEDS['union']}"]
    store.json(f"run_{name}", spec, f"run {name}: the request")


def make(store, pipe):
    nets = {k: control_net("nano-controlnet", SEEDS[k]) for k in ("one", "two")}
    nets["union"] = control_net("nano-controlnet-union", SEEDS["union"])
    images = pictures(store)
    evaluations(store, pipe, nets, images)
    taesd(store)
    upscaler(store)
    for name, run in RUNS.items():
        one(store, pipe, name, run, nets, images, lambda k: f"daguerre models synth --kind nano-controlnet --seed {SEEDS[k]}")
    for name, run in UNION_RUNS.items():
        joined(store, pipe, name, run, nets["union"], images)
