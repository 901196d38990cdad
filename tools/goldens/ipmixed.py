"""IP-Adapters where more than the base takes part: before a refiner, and in a mask with both kinds of UNet.

The refiner is that of refiner.py, and the UNet with 9 channels that of inpaint9.py. Adapters act in the base only: a refiner has no
attention layers for them, in diffusers as here.
"""

import torch
from diffusers import StableDiffusionXLInpaintPipeline, StableDiffusionXLPipeline

import inpaint9
import ipadapter
import refiner
import runs

ONE = [dict(kind=ipadapter.BASE, pictures=["one"], weight=0.8)]
TWO = [dict(kind=ipadapter.PLUS, pictures=["one", "two"], weight=0.6, start=0.1, end=0.6), dict(kind=ipadapter.BASE, pictures=["two"], weight=0.4)]
REFINED = {
    "ip_refiner": dict(seed=12, num_inference_steps=10, refiner_start=0.8, adapters=TWO),
    "ip_refiner_img2img": dict(seed=13, num_inference_steps=10, refiner_mode="img2img", refiner_strength=0.4, adapters=ONE),
}
PAINTED = {
    "ip_inpaint": dict(seed=14, strength=0.9, wide=False, adapters=TWO),
    "ip_inpaint9": dict(seed=15, strength=1.0, wide=True, adapters=ONE),
    "ip_inpaint9_partial": dict(seed=16, strength=0.75, wide=True, adapters=TWO),
}


def refined(store, base, late, name, run, images, parts):
    spec = dict(prompt=runs.RED, negative_prompt=None, guidance_scale=5.0, width=128, height=128, aesthetic_score=6.0,
                negative_aesthetic_score=2.5, refiner_mode="ensemble", strength=0)
    spec.update(run)
    ensemble = spec["refiner_mode"] == "ensemble"
    # start and end count the refiner's steps of an ensemble, too, as for ControlNets
    pipe, after = ipadapter.with_adapters(StableDiffusionXLPipeline, base, base.unet, spec, parts, spec["num_inference_steps"])
    common = {k: spec[k] for k in ("prompt", "negative_prompt", "guidance_scale", "num_inference_steps")}
    common.update(generator=torch.Generator().manual_seed(spec["seed"]), output_type="latent")
    share = dict(denoising_end=spec["refiner_start"]) if ensemble else {}
    handed = pipe(width=128, height=128, callback_on_step_end=after, ip_adapter_image_embeds=ipadapter.picked(pipe, spec, images),
                  **common, **share).images
    record = runs.Recorder()
    how = dict(denoising_start=spec["refiner_start"]) if ensemble else dict(strength=spec["refiner_strength"])
    latents = late(image=handed, aesthetic_score=spec["aesthetic_score"], negative_aesthetic_score=spec["negative_aesthetic_score"],
                   callback_on_step_end=record, callback_on_step_end_tensor_inputs=["latents"], **common, **how).images
    store.array(f"run_{name}_latents", latents, f"run {name}: latents after the refiner's last step")
    spec.update(num_images=1, refiner_evaluations=len(record.all), files=ipadapter.file_names(spec),
                rng="one torch CPU generator for both pipelines, the base first")
    store.json(f"run_{name}", spec, f"run {name}: the request")


def painted(store, base, name, run, images, parts, picture, mask):
    spec = dict(prompt=inpaint9.PROMPT, negative_prompt=None, guidance_scale=5.0, num_inference_steps=8, width=128, height=128)
    spec.update(run)
    unet = inpaint9.widen(base.unet) if spec["wide"] else base.unet
    steps = min(int(spec["num_inference_steps"] * spec["strength"]), spec["num_inference_steps"])
    pipe, after = ipadapter.with_adapters(StableDiffusionXLInpaintPipeline, base, unet, spec, parts, steps)
    ended = []

    def counted(pipe, step, timestep, kwargs):
        ended.append(step)
        return after(pipe, step, timestep, kwargs)

    args = {k: spec[k] for k in ("prompt", "guidance_scale", "num_inference_steps", "width", "height", "strength")}
    latents = pipe(image=picture, mask_image=mask, generator=torch.Generator().manual_seed(spec["seed"]), output_type="latent",
                   callback_on_step_end=counted, ip_adapter_image_embeds=ipadapter.picked(pipe, spec, images), **args).images
    assert len(ended) == steps, (len(ended), steps)
    store.array(f"run_{name}_latents", latents, f"run {name}: latents after the last step")
    spec.update(num_images=1, evaluations=steps, files=ipadapter.file_names(spec), rng="torch CPU generator")
    store.json(f"run_{name}", spec, f"run {name}: the request")


def make(store, base):
    images, parts = ipadapter.pictures(store), ipadapter.all_parts()
    late = refiner.pipeline(base, refiner.synth("nano-refiner", refiner.SEED))
    for name, run in REFINED.items():
        refined(store, base, late, name, run, images, parts)
    for name, run in PAINTED.items():
        painted(store, base, name, run, images, parts, *runs.inputs(store))
