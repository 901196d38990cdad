"""Predictions that are perturbed inside the UNet, and FreeU: diffusers' PAG pipelines, SEG-SDXL's processor restated, enable_freeu.

EulerDiscrete, 8 steps, guidance 5 but where a run says otherwise. SEG-SDXL (arXiv 2408.00760) blurs the queries of square pictures; its
kernel has at most as many cells as a side, one more where that is even. diffusers' guider has its two cases exchanged, so it is not taken.
"""

import copy
import math

import torch
import torch.nn.functional as F
from diffusers import StableDiffusionXLControlNetPAGPipeline, StableDiffusionXLPAGPipeline
from PIL import Image
from transformers import CLIPImageProcessor

import control
import ipadapter

STEPS, SIZE = 8, 128
PROMPT, NEGATIVE = "a small red circle on a blue background", "a green square"
RUNS = {
    "pag": dict(seed=71, pag=dict(scale=3.0, applied_layers=["mid"])),
    "pag_layers": dict(seed=72, pag=dict(scale=2.0, adaptive_scale=0.003, applied_layers=["up_blocks.0", "down_blocks.1.attentions.0"]),
                       negative_prompt=NEGATIVE, guidance_rescale=0.5),
    "pag_alone": dict(seed=73, guidance_scale=1.0, pag=dict(scale=3.0, applied_layers=["mid", "up"])),
    "pag_control": dict(seed=74, pag=dict(scale=2.5, applied_layers=["mid"]), nets=["one"]),
    "pag_ip": dict(seed=81, pag=dict(scale=2.5, applied_layers=["mid", "up_blocks.0"]),
                   adapters=[dict(kind="ip-adapter", pictures=["one"], weight=0.8), dict(kind="ip-adapter-plus", pictures=["two"], weight=0.5)]),
    "seg": dict(seed=75, seg=dict(scale=3.0, blur_sigma=9999999.0, applied_layers=["mid"])),
    "seg_blur": dict(seed=76, seg=dict(scale=2.0, blur_sigma=1.5, applied_layers=["up_blocks.0", "mid"]), negative_prompt=NEGATIVE),
    "seg_alone": dict(seed=77, guidance_scale=1.0, seg=dict(scale=3.0, blur_sigma=0.8, applied_layers=["down"])),
    "pag_seg": dict(seed=78, pag=dict(scale=1.5, applied_layers=["mid"]), seg=dict(scale=1.5, blur_sigma=2.0, applied_layers=["up"])),
    "freeu": dict(seed=79, freeu=dict(s1=0.9, s2=0.2, b1=1.3, b2=1.4)),
    "freeu_wide": dict(seed=80, freeu=dict(s1=0.6, s2=0.1, b1=1.1, b2=0.8), width=168, height=120, pag=dict(scale=1.0, applied_layers=["mid"])),
}


class Perturbed:
    """A self-attention. Row `identity` of the batch attends to itself only (PAG); the queries of row `blurred` are blurred (SEG)."""

    def __init__(self, identity, blurred, sigma):
        self.identity, self.blurred, self.sigma = identity, blurred, sigma

    def __call__(self, attn, x, encoder_hidden_states=None, attention_mask=None, temb=None):
        split = lambda t: t.view(t.shape[0], -1, attn.heads, t.shape[-1] // attn.heads).transpose(1, 2)
        q, k, v = attn.to_q(x), attn.to_k(x), attn.to_v(x)
        if self.blurred is not None:
            q[self.blurred] = blur(q[self.blurred][None], self.sigma)[0]
        out = F.scaled_dot_product_attention(split(q), split(k), split(v)).transpose(1, 2).reshape(x.shape)
        if self.identity is not None:
            out[self.identity] = v[self.identity]
        return attn.to_out[0](out)


def blur(q, sigma):
    side = math.isqrt(q.shape[1])
    x = q.transpose(1, 2).reshape(q.shape[0], q.shape[2], side, side)
    if sigma > 9999.0:
        x = x.mean(dim=(-2, -1), keepdim=True).expand_as(x)
    else:
        size = math.ceil(6 * sigma)
        size = min(size + 1 - size % 2, side - (side % 2 - 1))
        line = torch.exp(-0.5 * (torch.linspace(-(size - 1) / 2, (size - 1) / 2, size) / sigma).pow(2))
        line = line / line.sum()
        kernel = (line[:, None] @ line[None, :]).expand(x.shape[1], 1, size, size)
        x = F.conv2d(F.pad(x, [size // 2] * 4, mode="reflect"), kernel, groups=x.shape[1])
    return x.reshape(q.shape[0], q.shape[2], -1).transpose(1, 2)


def restated(pipe, spec):
    """Guidance with any of the two, for what diffusers has no pipeline for."""
    s, scale = pipe.scheduler, spec["guidance_scale"]
    s.set_timesteps(STEPS)
    x = torch.randn(1, 4, SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(spec["seed"])) * s.init_noise_sigma
    states, none, pooled, no_pool = pipe.encode_prompt(PROMPT, negative_prompt=spec["negative_prompt"], do_classifier_free_guidance=True)
    kinds = [k for k in ("pag", "seg") if k in spec]
    halves = 2 if scale > 1 else 1
    n = halves + len(kinds)
    states = torch.cat(([none] if halves == 2 else []) + [states] * (1 + len(kinds)))
    pooled = torch.cat(([no_pool] if halves == 2 else []) + [pooled] * (1 + len(kinds)))
    ids = torch.tensor([[SIZE, SIZE, 0, 0, SIZE, SIZE]]).float().repeat(n, 1)
    keep = dict(pipe.unet.attn_processors)
    row = dict(zip(kinds, range(halves, n)))
    for name in keep:
        here = {k: row[k] for k in kinds if any(p in name for p in spec[k]["applied_layers"])}
        if "attn1" in name and here:
            sigma = spec.get("seg", {}).get("blur_sigma")
            pipe.unet.get_submodule(name.removesuffix(".processor")).processor = Perturbed(here.get("pag"), here.get("seg"), sigma)
    for t in s.timesteps:
        given = s.scale_model_input(x, t).repeat(n, 1, 1, 1)
        out = pipe.unet(given, t, encoder_hidden_states=states, added_cond_kwargs=dict(text_embeds=pooled, time_ids=ids)).sample.chunk(n)
        cond = out[halves - 1]
        pred = out[0] + scale * (cond - out[0]) if halves == 2 else cond
        for kind, away in zip(kinds, out[halves:]):
            pred = pred + spec[kind]["scale"] * (cond - away)
        x = s.step(pred, t, x).prev_sample
    pipe.unet.set_attn_processor(keep)
    return x


def with_adapters(pipe, store, spec, args):
    """The PAG pipeline with IP-Adapters, on a UNet of its own."""
    p = spec["pag"]
    parts = {**pipe.components, "unet": copy.deepcopy(pipe.unet), "image_encoder": ipadapter.image_encoder(),
             "feature_extractor": CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})}
    pag = StableDiffusionXLPAGPipeline(**parts, pag_applied_layers=[])
    pag.set_progress_bar_config(disable=True)
    pag.load_ip_adapter([ipadapter.adapter(a["kind"]) for a in spec["adapters"]], subfolder="", weight_name=["", ""], low_cpu_mem_usage=False)
    pag.set_ip_adapter_scale([a["weight"] for a in spec["adapters"]])
    pag.set_pag_applied_layers(p["applied_layers"])
    shown = [[Image.open(store.folder / f"input_ip_{n}.png") for n in a["pictures"]] for a in spec["adapters"]]
    given = [ipadapter.one_adapter(pag, i, images, True) for i, images in enumerate(shown)]
    return pag(**args, ip_adapter_image_embeds=given, pag_scale=p["scale"]).images


def run(pipe, store, spec):
    if "freeu" in spec:
        pipe.enable_freeu(**spec["freeu"])
    args = dict(prompt=PROMPT, negative_prompt=spec["negative_prompt"], guidance_scale=spec["guidance_scale"],
                guidance_rescale=spec["guidance_rescale"], num_inference_steps=STEPS, width=spec["width"], height=spec["height"],
                generator=torch.Generator().manual_seed(spec["seed"]), output_type="latent")
    if "seg" in spec:
        out = restated(pipe, spec)
    elif "adapters" in spec:
        out = with_adapters(pipe, store, spec, args)
    elif "pag" not in spec:
        out = pipe(**args).images
    else:
        p, kind, more = spec["pag"], StableDiffusionXLPAGPipeline, {}
        if "nets" in spec:
            kind, more = StableDiffusionXLControlNetPAGPipeline, dict(controlnet=control.control_net("nano-controlnet", control.SEEDS["one"]))
            args.update(image=Image.open(store.folder / "input_control_one.png"), controlnet_conditioning_scale=0.8)
            del args["guidance_rescale"]  # which this pipeline has not
        keep = dict(pipe.unet.attn_processors)
        out = kind(**pipe.components, **more, pag_applied_layers=p["applied_layers"])(
            **args, pag_scale=p["scale"], pag_adaptive_scale=p.get("adaptive_scale", 0.0)).images
        pipe.unet.set_attn_processor(keep)
    pipe.disable_freeu()
    return out


def make(store, pipe):
    for name, spec in RUNS.items():
        spec = dict(prompt=PROMPT, negative_prompt=None, guidance_scale=5.0, guidance_rescale=0.0, num_inference_steps=STEPS, width=SIZE,
                    height=SIZE) | spec
        store.array(f"run_{name}_latents", run(pipe, store, spec), f"run {name}: latents after the last step")
        if "adapters" in spec:
            kinds = ["image-encoder", *(a["kind"] for a in spec["adapters"])]
            spec["files"] = {k: f"daguerre models synth --kind nano-{k} --seed {ipadapter.SEEDS[k]}" for k in kinds}
        store.json(f"run_{name}", spec, f"run {name}: the request")
