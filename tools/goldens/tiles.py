"""The UNet on tiles that overlap, inside of diffusers' own pipelines: MultiDiffusion (arXiv 2302.08113) and Mixture of Diffusers
(arXiv 2302.02412), as the UIs' tiled diffusion does both: the tiles' predictions are joined before guidance. A ControlNet sees the same
tile, and that part of its picture.

EulerDiscrete, 8 steps, guidance 5.
"""

import math

import numpy as np
import torch
from diffusers import StableDiffusionXLControlNetPipeline, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline
from PIL import Image

import control

STEPS = 8
PROMPT, NEGATIVE = "a small red circle on a blue background", "a green square"
RUNS = {
    "tiles_multi": dict(seed=91, method="multidiffusion", tile=(112, 96), overlap=32, width=232, height=168),
    "tiles_mixture": dict(seed=92, method="mixture", tile=(96, 112), overlap=48, width=200, height=200, negative_prompt=NEGATIVE,
                          guidance_rescale=0.5),
    "tiles_row": dict(seed=93, method="mixture", tile=(128, 128), overlap=64, width=264, height=128),
    "tiles_control": dict(seed=94, method="mixture", tile=(80, 88), overlap=24, nets=["one"]),
    "tiles_img2img": dict(seed=95, method="multidiffusion", tile=(88, 80), overlap=40, strength=0.6),
    "tiles_inpaint": dict(seed=96, method="mixture", tile=(88, 80), overlap=40, strength=0.8, mask=True),
}


def places(side, tile, overlap):
    n = math.ceil((side - overlap) / (tile - overlap))
    step = (side - tile) / (n - 1) if n > 1 else 0
    return [int(i * step) for i in range(n)]


def weights(method, height, width):
    if method == "multidiffusion":
        return torch.ones(height, width)
    bell = lambda x, middle, side: np.exp(-(x - middle) ** 2 / side**2 / (2 * 0.01)) / np.sqrt(2 * np.pi * 0.01)
    down, across = bell(np.arange(height), height / 2, height), bell(np.arange(width), (width - 1) / 2, width)
    return torch.from_numpy(np.outer(down, across)).float()


class Tiles:
    """Takes the place of a UNet's and a ControlNet's forward."""

    def __init__(self, unet, net, method, tile, overlap):
        self.unet, self.net = unet.forward, net.forward if net else None
        self.method, self.tile, self.overlap = method, [n // 8 for n in tile], overlap // 8

    def control(self, sample, timestep, **args):
        return args, None  # asked tile by tile

    def __call__(self, sample, timestep, down_block_additional_residuals=None, mid_block_additional_residual=None, return_dict=True, **args):
        height, width = self.tile
        weight = weights(self.method, height, width)
        total, out = torch.zeros(sample.shape[-2:]), torch.zeros(sample.shape)
        for y in places(sample.shape[2], height, self.overlap):
            for x in places(sample.shape[3], width, self.overlap):
                here = (..., slice(y, y + height), slice(x, x + width))
                more = {}
                if self.net:
                    asked = dict(down_block_additional_residuals, return_dict=False)
                    asked["controlnet_cond"] = asked["controlnet_cond"][..., 8 * y : 8 * (y + height), 8 * x : 8 * (x + width)]
                    down, mid = self.net(sample[here], timestep, **asked)
                    more = dict(down_block_additional_residuals=down, mid_block_additional_residual=mid)
                out[here] += weight * self.unet(sample[here], timestep, **args, **more, return_dict=False)[0]
                total[here[1:]] += weight
        return (out / total,)


def run(pipe, store, spec):
    args = dict(prompt=PROMPT, negative_prompt=spec["negative_prompt"], guidance_scale=5.0, num_inference_steps=STEPS,
                generator=torch.Generator().manual_seed(spec["seed"]), output_type="latent")
    size, net = dict(width=spec["width"], height=spec["height"]), None
    if spec["guidance_rescale"]:
        args["guidance_rescale"] = spec["guidance_rescale"]
    if "nets" in spec:
        net = control.control_net("nano-controlnet", control.SEEDS["one"])
        kind = StableDiffusionXLControlNetPipeline(**pipe.components, controlnet=net)
        args.update(size, image=Image.open(store.folder / "input_control_one.png"), controlnet_conditioning_scale=0.8)
    elif "strength" in spec:
        args.update(image=Image.open(store.folder / "input_picture.png"), strength=spec["strength"])
        kind = StableDiffusionXLImg2ImgPipeline.from_pipe(pipe)
        if "mask" in spec:
            kind = StableDiffusionXLInpaintPipeline.from_pipe(pipe)
            args.update(size, mask_image=Image.open(store.folder / "input_mask.png"))
    else:
        kind = pipe
        args.update(size)
    tiles = Tiles(pipe.unet, net, spec["method"], spec["tile"], spec["overlap"])
    pipe.unet.forward = tiles
    if net:
        net.forward = tiles.control
    try:
        return kind(**args).images
    finally:
        del pipe.unet.forward


def make(store, pipe):
    for name, spec in RUNS.items():
        spec = dict(prompt=PROMPT, negative_prompt=None, guidance_scale=5.0, guidance_rescale=0.0, num_inference_steps=STEPS, width=128,
                    height=128) | spec
        store.array(f"run_{name}_latents", run(pipe, store, spec), f"run {name}: latents after the last step")
        store.json(f"run_{name}", spec, f"run {name}: the request; tile is height, width")
