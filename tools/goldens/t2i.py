"""T2I-Adapters: features, one evaluation of the UNet, and whole runs of StableDiffusionXLAdapterPipeline.

All weights are synthetic (`daguerre models synth`), so that the tests can write the same files.
"""

import numpy as np
import torch
from diffusers import MultiAdapter, StableDiffusionXLAdapterPipeline, T2IAdapter
from PIL import Image

import control
import runs
from refiner import synth

SEEDS = dict(one=21, two=22)
RUNS = {
    "t2i": dict(seed=42, nets=["one"], weights=[4.0]),
    "t2i_half": dict(seed=5, nets=["one"], weights=[5.0], end=0.5),
    "t2i_two": dict(seed=7, nets=["one", "two"], weights=[4.0, -2.5], end=0.6),
    "t2i_wide": dict(seed=11, nets=["one"], weights=[6.0], pictures=["wide"], width=144, height=112),
    "t2i_control": dict(seed=8, nets=["one"], weights=[3.0], control=dict(net="two", weight=0.6)),
}


def adapter(seed):
    net = T2IAdapter(in_channels=3, channels=[32, 64, 128, 128], num_res_blocks=2, downscale_factor=16, adapter_type="full_adapter_xl")
    net.load_state_dict(synth("nano-t2i-adapter", seed))
    return net.eval()


def pictures(store):
    out = {k: Image.open(store.folder / f"input_control_{k}.png").convert("RGB") for k in ("one", "two")}
    y, x = np.mgrid[:112, :144]
    pixels = np.stack([x * 255 // 143, y * 255 // 111, (x + y) % 32 * 8], -1).astype(np.uint8)
    store.picture("input_control_wide", pixels, "control picture of run_t2i_wide")
    out["wide"] = Image.fromarray(pixels)
    return out


def evaluations(store, pipe, net, images):
    """The features, and the UNet of unet_n1 with them."""
    wide = net(control.tensor(images["wide"]))
    store.array("t2i_features_wide", torch.cat([f.flatten() for f in wide]), "T2I-Adapter one: features of input_control_wide, end to end")
    features = net(control.tensor(images["one"]))
    store.array("t2i_features", torch.cat([f.flatten() for f in features]), "T2I-Adapter one: features of its picture, end to end")
    latents, context, pooled, ids = (torch.from_numpy(np.load(store.folder / f"unet_n1_{k}.npy"))
                                     for k in ("latents", "context", "pooled", "time_ids"))
    out = pipe.unet(latents, torch.tensor([701.0]), context, added_cond_kwargs=dict(text_embeds=pooled, time_ids=ids),
                    down_intrablock_additional_residuals=[f.clone() for f in features]).sample
    store.array("t2i_unet_out", out, "UNet evaluation unet_n1 with T2I-Adapter one's features")


def beside(unet, net, picture, weight):
    """The UNet's forward with a ControlNet's residuals beside what else it is given."""
    forward = unet.forward

    def both(sample, timestep, encoder_hidden_states, added_cond_kwargs, **rest):
        down, mid = net(sample, timestep, encoder_hidden_states, control.tensor(picture), weight, added_cond_kwargs=added_cond_kwargs,
                        return_dict=False)
        return forward(sample, timestep, encoder_hidden_states, added_cond_kwargs=added_cond_kwargs, down_block_additional_residuals=down,
                       mid_block_additional_residual=mid, **rest)

    return forward, both


def one(store, pipe, name, nets, images):
    spec = dict(prompt=runs.RED, negative_prompt=None, guidance_scale=5.0, num_inference_steps=20, width=128, height=128, end=1.0, control=None)
    spec.update(RUNS[name])
    shown = [images[k] for k in spec.get("pictures", spec["nets"])]
    multi = len(shown) > 1
    pick = (lambda v: v) if multi else (lambda v: v[0])
    picked = [nets[k] for k in spec["nets"]]
    run = StableDiffusionXLAdapterPipeline.from_pipe(pipe, adapter=MultiAdapter(picked) if multi else picked[0])
    run.set_progress_bar_config(disable=True)
    forward = None
    if c := spec["control"]:
        net = control.control_net("nano-controlnet", control.SEEDS[c["net"]])
        forward, pipe.unet.forward = beside(pipe.unet, net, images[c["net"]], c["weight"])
    latents = run(
        image=pick(shown), adapter_conditioning_scale=pick(spec["weights"]), adapter_conditioning_factor=spec["end"],
        generator=torch.Generator().manual_seed(spec["seed"]), output_type="latent",
        **{k: spec[k] for k in ("prompt", "negative_prompt", "guidance_scale", "num_inference_steps", "width", "height")}).images
    if forward is not None:
        pipe.unet.forward = forward
    store.array(f"run_{name}_latents", latents, f"run {name}: latents after the last step")
    spec["net_files"] = [f"daguerre models synth --kind nano-t2i-adapter --seed {SEEDS[k]}" for k in spec["nets"]]
    store.json(f"run_{name}", spec, f"run {name}: the request")


def make(store, pipe):
    nets = {k: adapter(s) for k, s in SEEDS.items()}
    images = pictures(store)
    evaluations(store, pipe, nets["one"], images)
    for name in RUNS:
        one(store, pipe, name, nets, images)
