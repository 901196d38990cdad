"""Masks as A1111's and diffusers' users know them: blur, only masked with padding, fills, grey masks. EulerDiscrete, 8 steps, guidance 5.

Blur, crop and overlay are VaeImageProcessor's, and the runs StableDiffusionXLInpaintPipeline's. A1111's fills and the loop of
differential diffusion are restated here.
"""

import numpy as np
import torch
from diffusers import StableDiffusionXLControlNetInpaintPipeline, StableDiffusionXLInpaintPipeline
from PIL import Image, ImageFilter, ImageOps

import control
import inpaint9
import runs

PROMPT = "a white square on a blue background"
STEPS, GUIDANCE, SIZE = 8, 5.0, 128
RUNS = {
    "mask_blur": dict(seed=6, strength=0.8, blur=6.0),
    "mask_invert": dict(seed=7, strength=0.8, invert=True, blur=2.0),
    "mask_crop": dict(seed=8, strength=0.9, padding=16, blur=3.0),
    "mask_crop_wide": dict(seed=9, strength=0.75, padding=4, mask="wide"),
    "mask_fill": dict(seed=10, strength=0.8, fill="fill", blur=4.0),
    "mask_noise": dict(seed=11, strength=0.8, fill="latent_noise"),
    "mask_nothing": dict(seed=12, strength=0.8, fill="latent_nothing"),
    "mask_soft": dict(seed=13, strength=1.0, soft=True, mask="soft"),
    "mask_soft_part": dict(seed=14, strength=0.7, soft=True, mask="soft"),
    "mask9_crop": dict(seed=15, strength=1.0, padding=16, blur=3.0),
    "mask_control": dict(seed=16, strength=0.9, padding=16, nets=["one"], weights=[0.8]),
}


def inputs(store):
    """A picture that is no square, and masks of it: a disc off the middle, a band across all, and a slope of grey."""
    y, x = np.mgrid[:152, :200]
    disc = np.hypot(x - 140, y - 50)
    blue = 255 * (disc < 40) + (disc >= 40) * ((x // 8 + y // 8) % 2 * 90)
    picture = np.stack([(x * 255 // 199), (y * 255 // 151), blue], -1).astype(np.uint8)
    masks = dict(disc=(disc < 22) * 255, wide=((y > 60) & (y < 90)) * 255, soft=np.clip((x - 30) * 2, 0, 255) * (y > 20))
    store.picture("input_paint", picture, "init_image of run_mask*")
    for name, mask in masks.items():
        masks[name] = mask.astype(np.uint8)
        store.picture(f"input_paint_{name}", masks[name], f"a mask of input_paint: {name}")
    return Image.fromarray(picture), {k: Image.fromarray(m) for k, m in masks.items()}


def pillow(store, picture, mask):
    """What Pillow makes of small pictures, for what the program computes by itself: blurs of a mask, and Lanczos to other sizes."""
    small, hole = picture.crop((110, 30, 150, 61)), mask.crop((110, 30, 150, 61))
    blurs = [np.asarray(hole.filter(ImageFilter.GaussianBlur(d))) for d in (0.5, 4, 64)]
    store.array("pillow_blur", np.stack(blurs), "input_paint_disc, (110, 30) to (150, 61), blurred by 0.5, 4 and 64", np.uint8)
    for size in ((64, 48), (17, 11), (50, 9), (12, 40)):
        store.array(f"pillow_{size[0]}x{size[1]}", np.asarray(small.resize(size, Image.LANCZOS)),
                    "input_paint, (110, 30) to (150, 61), scaled with Lanczos", np.uint8)


def filled(image, mask):
    """A1111's fill: blurs of what is kept, ever narrower, one over the other."""
    kept = Image.new("RGBa", image.size)
    kept.paste(image.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(mask))
    out = Image.new("RGBA", image.size)
    for radius, times in ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1)):
        layer = kept.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(times):
            out.alpha_composite(layer)
    return out.convert("RGB")


def filled_latents(pipe, how):
    """Has the pipeline begin with latents whose masked part is noise, or nothing. diffusers draws the picture's latents, then the noise."""
    add = pipe.scheduler.add_noise

    def first(x, noise, t):
        pipe.scheduler.add_noise = add
        hole = pipe.hole[:, :, ::8, ::8]
        return add((1 - hole) * x + (hole * noise if how == "latent_noise" else 0), noise, t)

    pipe.scheduler.add_noise = first


def soft(pipe, image, mask, spec):
    """Differential diffusion (arXiv 2306.00950) as StableDiffusionXLDifferentialImg2ImgPipeline has it."""
    g = torch.Generator().manual_seed(spec["seed"])
    prompt, negative, pooled, negative_pooled = pipe.encode_prompt(PROMPT, negative_prompt=None)
    pixels = pipe.image_processor.preprocess(image, height=SIZE, width=SIZE)
    start = pipe.vae.encode(pixels).latent_dist.sample(g) * pipe.vae.config.scaling_factor
    noise = torch.randn(start.shape, generator=g)
    keeps = 1 - torch.from_numpy(np.asarray(mask.resize((SIZE, SIZE), Image.LANCZOS))).float()[None, None] / 255
    keeps = torch.nn.functional.interpolate(keeps, size=(SIZE // 8, SIZE // 8), mode="bilinear", align_corners=False)
    pipe.scheduler.set_timesteps(STEPS)
    skip = STEPS - min(int(STEPS * spec["strength"]), STEPS)
    times = pipe.scheduler.timesteps[skip:]
    pipe.scheduler.set_begin_index(skip)
    ids = torch.tensor([[SIZE, SIZE, 0, 0, SIZE, SIZE]] * 2).float()
    conditions = dict(text_embeds=torch.cat([negative_pooled, pooled]), time_ids=ids)
    for i, t in enumerate(times):
        there = pipe.scheduler.add_noise(start, noise, t[None])
        if i == 0:
            latents = there
        else:
            keep = (keeps > torch.tensor(i / STEPS)).float()
            latents = there * keep + latents * (1 - keep)
        x = pipe.scheduler.scale_model_input(torch.cat([latents] * 2), t)
        out = pipe.unet(x, t, encoder_hidden_states=torch.cat([negative, prompt]), added_cond_kwargs=conditions).sample
        n, p = out.chunk(2)
        latents = pipe.scheduler.step(n + GUIDANCE * (p - n), t, latents).prev_sample
    return latents


def one(store, pipe, name, picture, masks, nets, images):
    spec = dict(prompt=PROMPT, negative_prompt=None, guidance_scale=GUIDANCE, guidance_rescale=0.0, num_inference_steps=STEPS, width=SIZE,
                height=SIZE, mask="disc", fill="original", invert=False, blur=0.0, padding=None, soft=False, nets=[], weights=[])
    spec.update(RUNS[name])
    mask, image = masks[spec["mask"]], picture
    if spec["invert"]:
        mask = ImageOps.invert(mask)
    mask = pipe.mask_processor.blur(mask, spec["blur"])
    args = dict(prompt=PROMPT, guidance_scale=GUIDANCE, num_inference_steps=STEPS, width=SIZE, height=SIZE, strength=spec["strength"])
    crop = None
    if spec["padding"] is not None:
        crop = pipe.mask_processor.get_crop_region(mask, SIZE, SIZE, pad=spec["padding"])
        args["padding_mask_crop"] = spec["padding"]
    if spec["fill"] != "original":
        at = (SIZE, SIZE)
        image = filled(picture.resize(at, Image.LANCZOS), mask.resize(at, Image.LANCZOS))
        pipe.hole = pipe.mask_processor.preprocess(mask, height=SIZE, width=SIZE)
    if spec["fill"].startswith("latent"):
        filled_latents(pipe, spec["fill"])
    if spec["nets"]:
        pipe = StableDiffusionXLControlNetInpaintPipeline.from_pipe(pipe, controlnet=nets["one"])
        pipe.set_progress_bar_config(disable=True)
        args.update(control_image=images["one"].resize(picture.size, Image.LANCZOS), controlnet_conditioning_scale=spec["weights"][0])
    if spec["soft"]:
        store.array(f"run_{name}_latents", soft(pipe, image, mask, spec), f"run {name}: latents after the last step")
    else:
        record = runs.Recorder()
        out = pipe(image=image, mask_image=mask, generator=torch.Generator().manual_seed(spec["seed"]), output_type="pil",
                   callback_on_step_end=record, callback_on_step_end_tensor_inputs=["latents"], **args).images[0]
        store.array(f"run_{name}_latents", record.all[-1], f"run {name}: latents after the last step")
        if crop is None or spec["fill"] != "original":
            below, over = picture.resize((SIZE, SIZE), Image.LANCZOS), mask.resize((SIZE, SIZE), Image.LANCZOS)
            out = pipe.image_processor.apply_overlay(over, below, out)
        store.picture(f"run_{name}_picture", np.asarray(out), f"run {name}: the picture with init_image put back over it by apply_overlay")
    store.json(f"run_{name}", spec | dict(region=crop), f"run {name}: the request")


def make(store, pipe):
    picture, masks = inputs(store)
    pillow(store, picture, masks["disc"])
    nets = {"one": control.control_net("nano-controlnet", control.SEEDS["one"])}
    images = {"one": Image.open(store.folder / "input_control_one.png").convert("RGB")}
    plain = StableDiffusionXLInpaintPipeline.from_pipe(pipe)
    wide = StableDiffusionXLInpaintPipeline.from_pipe(pipe)
    wide.register_modules(unet=inpaint9.widen(pipe.unet))
    for p in (plain, wide):
        p.set_progress_bar_config(disable=True)
    for name in RUNS:
        one(store, wide if name.startswith("mask9") else plain, name, picture, masks, nets, images)
