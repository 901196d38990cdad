"""SDXL's relatives that weights and marker tensors tell: a UNet that is told its guidance (LCM), Playground v2.5, CosXL. Each is the
nano model with what such a file has beside it; its pictures mean nothing, its numbers are diffusers'."""

import copy

import numpy as np
import torch
from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler, LCMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

PROMPT = "a white square on a blue background"
WIDTH = 256
RULE = "element i (flat, [32, 256]) of cond_proj is 0.05 * sin(i), rounded to float32 and then to float16"
MEAN, STD, SCALING = [-1.6574, 1.886, -1.383, 2.5155], [8.4927, 5.9022, 6.5498, 5.2299], 0.5  # Playground v2.5's vae/config.json
RUNS = {
    "lcm_1": dict(seed=3, guidance_scale=1.0, num_inference_steps=4),
    "lcm_8": dict(seed=3, guidance_scale=8.0, num_inference_steps=4),
    "playground": dict(seed=4, guidance_scale=3.0, num_inference_steps=6),
    "cosxl": dict(seed=5, guidance_scale=4.0, num_inference_steps=6),
}


def told(unet):
    """A copy of the UNet with an embedding of the guidance scale, by RULE."""
    config = {k: v for k, v in unet.config.items() if not k.startswith("_")}
    new = UNet2DConditionModel(**config | dict(time_cond_proj_dim=WIDTH))
    shape = new.time_embedding.cond_proj.weight.shape
    weight = (0.05 * np.sin(np.arange(shape.numel(), dtype=np.float64))).astype(np.float32).astype(np.float16).astype(np.float32)
    new.load_state_dict(unet.state_dict() | {"time_embedding.cond_proj.weight": torch.from_numpy(weight.reshape(shape))})
    return new.eval()


def variant(pipe, name):
    """The pipeline that diffusers' users would make of such files."""
    parts = dict(pipe.components)
    if name.startswith("lcm"):
        parts.update(unet=told(pipe.unet), scheduler=LCMScheduler.from_config(pipe.scheduler.config))
    elif name == "playground":
        vae = copy.deepcopy(pipe.vae)
        vae.register_to_config(latents_mean=MEAN, latents_std=STD, scaling_factor=SCALING)
        parts.update(vae=vae, scheduler=EDMDPMSolverMultistepScheduler(sigma_data=0.5, sigma_min=0.002, sigma_max=80.0, rho=7.0))
    else:
        parts.update(scheduler=EDMEulerScheduler(sigma_data=1.0, sigma_min=0.002, sigma_max=120.0, prediction_type="v_prediction",
                                                 sigma_schedule="exponential"))
    out = StableDiffusionXLPipeline(**parts, add_watermarker=False, force_zeros_for_empty_prompt=pipe.config.force_zeros_for_empty_prompt)
    out.set_progress_bar_config(disable=True)
    return out


def make(store, pipe):
    for name, run in RUNS.items():
        spec = dict(prompt=PROMPT, negative_prompt=None, guidance_rescale=0.0, width=128, height=128, **run)
        args = {k: spec[k] for k in ("prompt", "guidance_scale", "num_inference_steps", "width", "height")}
        made = variant(pipe, name)
        latents = made(generator=torch.Generator().manual_seed(spec["seed"]), output_type="latent", **args).images
        store.array(f"run_{name}_latents", latents, f"run {name}: latents at the end")
        if name == "playground":  # whose latents are scaled in a way of their own
            pixels = made(generator=torch.Generator().manual_seed(spec["seed"]), output_type="pt", **args).images
            store.array(f"run_{name}_pixels", 2 * pixels - 1, f"run {name}: picture")
        spec.update(evaluations=run["num_inference_steps"], latents_after=[run["num_inference_steps"]])
        if name.startswith("lcm"):
            spec["cond_proj"] = RULE
        store.json(f"run_{name}", spec, f"run {name}: the request")
