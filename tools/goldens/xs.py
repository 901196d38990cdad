"""ControlNet-XS: the embedded picture, evaluations of the fused UNet, and whole runs of StableDiffusionXLControlNetXSPipeline.

All weights are synthetic (`daguerre models synth`), so that the tests can write the same files.
"""

import numpy as np
import torch
from diffusers import ControlNetXSAdapter, StableDiffusionXLControlNetXSPipeline, UNetControlNetXSModel
from PIL import Image

import arch
import control
import runs
from refiner import synth

SEEDS = dict(plain=31, time=32)
NETS = {
    "plain": dict(block_out_channels=(16, 32, 64), num_attention_heads=(1, 2, 2)),
    "time": dict(block_out_channels=(10, 18, 42), num_attention_heads=(1, 3, 4), learn_time_embedding=True, time_embedding_mix=0.6,
                 conditioning_channel_order="bgr"),
}
KINDS = dict(plain="nano-controlnet-xs", time="nano-controlnet-xs-time")
RUNS = {
    "xs": dict(seed=42, net="plain", weight=0.8),
    "xs_part": dict(seed=7, net="plain", weight=1.2, start=0.25, end=0.8),
    "xs_time": dict(seed=5, net="time", weight=1.0),
    "xs_wide": dict(seed=11, net="time", weight=0.7, end=0.5, width=160, height=96),
    "xs_beside": dict(seed=8, net="plain", weight=0.6, control=dict(net="two", weight=0.6)),
}


def adapter(name):
    net = ControlNetXSAdapter(
        **NETS[name], base_block_out_channels=(32, 64, 128), cross_attention_dim=2 * arch.TEXT_WIDTH,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"), transformer_layers_per_block=1,
        max_norm_num_groups=arch.UNET_GROUPS, conditioning_embedding_out_channels=control.HINT)
    net.load_state_dict(synth(KINDS[name], SEEDS[name]))
    return net.eval()


def as_the_unet(fused, unet):
    """The fused UNet with the UNet's own norm_eps. diffusers builds its resnets with 1e-6, whatever the UNet says."""
    resnets = [r for b in fused.down_blocks for r in b.base_resnets] + [r for b in fused.up_blocks for r in b.resnets]
    for resnet in resnets + list(fused.mid_block.base_midblock.resnets):
        resnet.norm1.eps = resnet.norm2.eps = unet.config.norm_eps
    return fused.eval()


def evaluations(store, pipe, nets, images):
    """The embedded picture, and the UNet of unet_n1 with the net, as diffusers computes it and with the UNet's own norm_eps."""
    latents, context, pooled, ids = (torch.from_numpy(np.load(store.folder / f"unet_n1_{k}.npy"))
                                     for k in ("latents", "context", "pooled", "time_ids"))
    for name, net in nets.items():
        picture = control.tensor(images["one"])
        seen = picture.flip(1) if net.config.conditioning_channel_order == "bgr" else picture
        store.array(f"xs_{name}_hint", net.controlnet_cond_embedding(seen), f"ControlNet-XS {name}: its embedded picture")
        fused = UNetControlNetXSModel.from_unet(pipe.unet, net).eval()
        for what, says in ("raw", "as diffusers fuses it"), ("out", "with the UNet's norm_eps"):
            if what == "out":
                as_the_unet(fused, pipe.unet)
            out = fused(latents, torch.tensor([701.0]), context, picture, 0.8, added_cond_kwargs=dict(text_embeds=pooled, time_ids=ids)).sample
            store.array(f"xs_{name}_{what}", out, f"UNet evaluation unet_n1 with ControlNet-XS {name} at 0.8, {says}")


def beside(fused, net, picture, weight):
    """The fused UNet with a ControlNet's residuals on the UNet's own skips and behind its middle."""
    forward, mid, ups = fused.forward, fused.mid_block.forward, [u.forward for u in fused.up_blocks]
    now = {}

    def whole(sample, timestep, encoder_hidden_states, added_cond_kwargs, **rest):
        now["down"], now["mid"] = net(sample, timestep, encoder_hidden_states, control.tensor(picture), weight,
                                      added_cond_kwargs=added_cond_kwargs, return_dict=False)
        return forward(sample=sample, timestep=timestep, encoder_hidden_states=encoder_hidden_states, added_cond_kwargs=added_cond_kwargs, **rest)

    def middle(**given):
        base, own = mid(**given)
        return base + now["mid"], own

    def up(k):
        def run(res_hidden_states_tuple_base, **rest):
            n = len(res_hidden_states_tuple_base)
            end = len(now["down"]) - k * n
            skips = tuple(s + r for s, r in zip(res_hidden_states_tuple_base, now["down"][end - n:end]))
            return ups[k](res_hidden_states_tuple_base=skips, **rest)

        return run

    fused.forward, fused.mid_block.forward = whole, middle
    for k, block in enumerate(fused.up_blocks):
        block.forward = up(k)


def one(store, pipe, name, nets, images):
    spec = dict(prompt=runs.RED, negative_prompt=None, guidance_scale=5.0, num_inference_steps=8, width=128, height=128, start=0.0, end=1.0,
                control=None)
    spec.update(RUNS[name])
    parts = {k: v for k, v in pipe.components.items() if k not in ("unet", "image_encoder", "feature_extractor")}
    run = StableDiffusionXLControlNetXSPipeline(**parts, unet=pipe.unet, controlnet=nets[spec["net"]], add_watermarker=False,
                                                force_zeros_for_empty_prompt=pipe.config.force_zeros_for_empty_prompt)
    run.set_progress_bar_config(disable=True)
    as_the_unet(run.unet, pipe.unet)
    if c := spec["control"]:
        beside(run.unet, control.control_net("nano-controlnet", control.SEEDS[c["net"]]), images[c["net"]], c["weight"])
    latents = run(
        image=images["one"], controlnet_conditioning_scale=spec["weight"], control_guidance_start=spec["start"], control_guidance_end=spec["end"],
        generator=torch.Generator().manual_seed(spec["seed"]), output_type="latent",
        **{k: spec[k] for k in ("prompt", "negative_prompt", "guidance_scale", "num_inference_steps", "width", "height")}).images
    store.array(f"run_{name}_latents", latents, f"run {name}: latents after the last step")
    spec["net_files"] = [f"daguerre models synth --kind {KINDS[spec['net']]} --seed {SEEDS[spec['net']]}"]
    store.json(f"run_{name}", spec, f"run {name}: the request")


def make(store, pipe):
    nets = {k: adapter(k) for k in NETS}
    images = {k: Image.open(store.folder / f"input_control_{k}.png").convert("RGB") for k in ("one", "two")}
    evaluations(store, pipe, nets, images)
    for name in RUNS:
        one(store, pipe, name, nets, images)
