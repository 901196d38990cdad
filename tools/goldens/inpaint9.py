"""Inpainting with a 9-channel UNet: the nano model with a wider conv_in, which any program can build from its file."""

import copy

import numpy as np
import torch
from diffusers import StableDiffusionXLInpaintPipeline

import runs

PROMPT = "a white square on a blue background"
# strength 1 starts from pure noise and never encodes the whole picture; below 1 it does, as the first of three draws.
RUNS = {"inpaint9": dict(seed=6, strength=1.0), "inpaint9_partial": dict(seed=21, strength=0.75)}
STEPS, GUIDANCE = 8, 5.0
RULE = "element i (flat, [out, 5, 3, 3]) of conv_in's channels 4 to 8 is 0.05 * sin(i), rounded to float32 and then to float16"


def widen(unet):
    """A copy of the UNet whose conv_in has five more input channels, by RULE."""
    wide = copy.deepcopy(unet)
    old = unet.conv_in
    extra = np.zeros((old.out_channels, 5, *old.kernel_size))
    extra = (0.05 * np.sin(np.arange(extra.size, dtype=np.float64))).reshape(extra.shape)
    extra = torch.from_numpy(extra.astype(np.float32).astype(np.float16).astype(np.float32))
    conv = torch.nn.Conv2d(9, old.out_channels, old.kernel_size, old.stride, old.padding)
    conv.weight, conv.bias = torch.nn.Parameter(torch.cat([old.weight, extra], 1)), old.bias
    wide.conv_in = conv
    wide.register_to_config(in_channels=9)
    return wide.eval()


def one(store, pipe, name, picture, mask):
    spec = dict(prompt=PROMPT, negative_prompt=None, guidance_scale=GUIDANCE, guidance_rescale=0.0, num_inference_steps=STEPS,
                width=128, height=128, **RUNS[name])
    draws = torch.Generator().manual_seed(spec["seed"])
    record, first = runs.Recorder(), []
    hook = pipe.unet.register_forward_pre_hook(lambda module, args: first.append(args[0]) if not first else None)
    latents = pipe(image=picture, mask_image=mask, generator=torch.Generator().manual_seed(spec["seed"]), output_type="latent",
                   callback_on_step_end=record, callback_on_step_end_tensor_inputs=["latents"],
                   **{k: spec[k] for k in ("prompt", "guidance_scale", "num_inference_steps", "width", "height", "strength")}).images
    hook.remove()
    posterior = [] if spec["strength"] == 1 else ["posterior_noise"]
    order = {part: torch.randn(1, 4, 16, 16, generator=draws) for part in [*posterior, "noise", "masked_posterior_noise"]}
    what = dict(posterior_noise="for the picture's latents: mean + std * this", noise="initial noise, standard normal",
                masked_posterior_noise="for the latents of the masked picture: mean + std * this")
    for k, (part, value) in enumerate(order.items()):
        store.array(f"run_{name}_{part}", value, f"run {name}: draw {k + 1}, {what[part]}")
    check_draws(pipe, first[0], order, picture, mask)
    store.array(f"run_{name}_input", first[0], f"run {name}: the UNet's first sample: scaled latents, mask, masked picture's latents")
    spec["latents_after"], kept = record.kept()
    assert torch.equal(kept[-1:], latents)
    store.array(f"run_{name}_latents", kept, f"run {name}: latents after evaluations {spec['latents_after']}")
    store.array(f"run_{name}_pixels", pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample, f"run {name}: picture")
    spec.update(evaluations=len(record.all), rng="torch CPU generator; the .npy noise is what it draws", conv_in=RULE)
    store.json(f"run_{name}", spec, f"run {name}: the request, and how conv_in was widened")


def check_draws(pipe, sample, order, picture, mask):
    """The first sample must be what the draws make of it, or diffusers drew in another order."""
    pixels = pipe.image_processor.preprocess(picture, height=128, width=128)
    hole = pipe.mask_processor.preprocess(mask, height=128, width=128)
    scaled = lambda x, noise: pipe.vae.config.scaling_factor * (x.mean + x.std * noise)
    masked = scaled(pipe.vae.encode(pixels * (hole < 0.5)).latent_dist, order["masked_posterior_noise"])
    sigma = pipe.scheduler.init_noise_sigma
    if "posterior_noise" in order:
        sigma = pipe.scheduler.sigmas[len(pipe.scheduler.sigmas) - 1 - pipe.num_timesteps]
        start = scaled(pipe.vae.encode(pixels).latent_dist, order["posterior_noise"]) + sigma * order["noise"]
        start = start / (sigma**2 + 1) ** 0.5
    else:
        start = order["noise"] * sigma / (pipe.scheduler.sigmas[0] ** 2 + 1) ** 0.5
    want = torch.cat([start, hole[:, :, ::8, ::8], masked], 1)
    assert torch.allclose(sample[:1], want, atol=1e-5), "diffusers drew in another order"


def make(store, pipe, picture, mask):
    wide = StableDiffusionXLInpaintPipeline.from_pipe(pipe)
    wide.register_modules(unet=widen(pipe.unet))
    wide.set_progress_bar_config(disable=True)
    for name in RUNS:
        one(store, wide, name, picture, mask)
