"""Whole runs of diffusers' pipelines: EulerDiscrete, 20 steps, guidance 5."""

import numpy as np
import torch
from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline
from PIL import Image

import data

RED, STAR = "a red circle on a blue background", "a small yellow star on the left on a purple background"
RUNS = {
    "red": dict(prompt=RED, seed=42),
    "star": dict(prompt=STAR, seed=7),
    "rescale": dict(prompt=RED, seed=42, guidance_rescale=0.7),
    "negative": dict(prompt=RED, seed=42, negative_prompt="a green square on a yellow background"),
    "wide": dict(prompt=STAR, seed=11, width=192),
    "img2img": dict(prompt="a green heart on an orange background", seed=5, strength=0.6),
    "inpaint": dict(prompt="a white square on a blue background", seed=6, strength=0.8),
}
EVERY = 5


def inputs(store):
    """The picture and the mask that img2img and inpainting take, also as 8 bit files."""
    scene = dict(shape="circle", colour="red", background="blue", cx=64.0, cy=64.0, radius=32.0)
    picture = data.render([scene], 3)[0].permute(1, 2, 0).numpy()
    mask = np.zeros((128, 128), np.uint8)
    mask[24:104, 24:104] = 255
    store.picture("input_picture", picture, "init_image of run_img2img and run_inpaint")
    store.picture("input_mask", mask, "mask of run_inpaint: 255 is repainted")
    return Image.fromarray(picture), Image.fromarray(mask)


class Recorder:
    """Latents after each EVERY-th evaluation and the last."""

    def __init__(self):
        self.all = []

    def __call__(self, pipe, step, timestep, kwargs):
        self.all.append(kwargs["latents"].clone())
        return kwargs

    def kept(self):
        n = len(self.all)
        which = sorted({*range(EVERY - 1, n, EVERY), n - 1})
        return [k + 1 for k in which], torch.cat([self.all[k] for k in which])


def one(store, pipe, name, picture, mask):
    spec = dict(negative_prompt=None, guidance_scale=5.0, guidance_rescale=0.0, num_inference_steps=20, width=128, height=128)
    spec.update(RUNS[name])
    shape = (1, 4, spec["height"] // 8, spec["width"] // 8)
    generator = torch.Generator().manual_seed(spec["seed"])
    draws = torch.Generator().manual_seed(spec["seed"])
    draw = lambda: torch.randn(shape, generator=draws)
    record = Recorder()
    args = {k: v for k, v in spec.items() if k not in ("seed", "width", "height", "guidance_rescale")}
    args.update(generator=generator, output_type="latent", callback_on_step_end=record, callback_on_step_end_tensor_inputs=["latents"])
    if spec["guidance_rescale"]:
        args["guidance_rescale"] = spec["guidance_rescale"]
    added, add_noise = [], pipe.scheduler.add_noise
    pipe.scheduler.add_noise = lambda x, n, t: (added.append(n), add_noise(x, n, t))[1]
    if name == "img2img":
        kind = StableDiffusionXLImg2ImgPipeline.from_pipe(pipe)
        out = kind(image=picture, **args)
        store.array(f"run_{name}_posterior_noise", draw(), f"run {name}: first draw, for the picture's latents: mean + std * this")
    elif name == "inpaint":
        kind = StableDiffusionXLInpaintPipeline.from_pipe(pipe)
        out = kind(image=picture, mask_image=mask, width=128, height=128, **args)
        store.array(f"run_{name}_posterior_noise", draw(), f"run {name}: first draw, for the picture's latents: mean + std * this")
    else:
        out = pipe(width=spec["width"], height=spec["height"], **args)
    pipe.scheduler.add_noise = add_noise
    latents = out.images
    noise = draw()
    assert not added or torch.equal(added[0], noise), "diffusers drew in another order"
    store.array(f"run_{name}_noise", noise, f"run {name}: initial noise, standard normal")
    spec["latents_after"], kept = record.kept()
    assert torch.equal(kept[-1:], latents)
    assert bool(added) == (name in ("img2img", "inpaint"))
    store.array(f"run_{name}_latents", kept, f"run {name}: latents after evaluations {spec['latents_after']}")
    pixels = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    store.array(f"run_{name}_pixels", pixels, f"run {name}: picture")
    spec["evaluations"] = len(record.all)
    spec["rng"] = "torch CPU generator; the .npy noise is what it draws"
    store.json(f"run_{name}", spec, f"run {name}: the request")


def make(store, pipe):
    picture, mask = inputs(store)
    for name in RUNS:
        one(store, pipe, name, picture, mask)
    return picture, mask
