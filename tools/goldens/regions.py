"""Regions with prompts of their own, restated on diffusers' encoders and UNet. EulerDiscrete, 8 steps.

Mode latent: predictions are joined by masks before guidance. Mode attention (attention couple): a processor of diffusers' attention lets
each position see every text, and takes the mean of the results by masks; the pooled embedding is the mean by parts of the picture. A
mask is laid out ten times as fine as the picture and averaged over the cells of the latents; the cells of deeper levels are averages, too.
"""

import math

import control
import prompts
import torch
import torch.nn.functional as F

STEPS, SIZE, FINE = 8, 128, 10
RED, BLUE, GREEN = "a red circle on a white background", "a blue square on a white background", "a green star on a black background"
RUNS = {
    "region_boxes": dict(seed=41, prompt=GREEN, guidance_scale=5.0, regions=[
        dict(prompt=RED, box=[0, 0, 0.5, 1]), dict(prompt=BLUE, box=[0.5, 0, 1, 1])]),
    "region_overlap": dict(seed=42, prompt=GREEN, guidance_scale=7.0, guidance_rescale=0.4, prompt_weight=0.3, regions=[
        dict(prompt=RED, box=[0.1, 0.2, 0.7, 0.9]), dict(prompt=BLUE, box=[0.35, 0, 0.95, 0.6], weight=2.5)]),
    "region_mask": dict(seed=43, prompt=GREEN, guidance_scale=1.0, regions=[
        dict(prompt=RED, mask="input_region.png"), dict(prompt=BLUE, box=[64, 32, 128, 100])]),
    "region_attention": dict(seed=44, prompt=GREEN, guidance_scale=5.0, region_mode="attention", regions=[
        dict(prompt=RED, box=[0, 0, 0.5, 1]), dict(prompt=BLUE, box=[0.5, 0, 1, 1])]),
    "region_attention_overlap": dict(
        seed=56, prompt=GREEN, negative_prompt="a yellow star", guidance_scale=7.0, guidance_rescale=0.4, prompt_weight=0.3,
        region_mode="attention", width=136, height=104, regions=[
            dict(prompt=RED, box=[0.1, 0.2, 0.7, 0.9]), dict(prompt=BLUE, box=[0.35, 0, 0.95, 0.6], weight=2.5)]),
    "region_attention_mask": dict(seed=46, prompt=GREEN, guidance_scale=1.0, region_mode="attention", regions=[
        dict(prompt=RED, mask="input_region.png"), dict(prompt=BLUE, box=[64, 32, 128, 100])]),
    "region_attention_control": dict(
        seed=47, prompt=GREEN, guidance_scale=5.0, prompt_weight=0.2, region_mode="attention", nets=["one"], weights=[0.8], starts=[0.0],
        ends=[1.0], regions=[dict(prompt=RED, box=[0, 0, 0.4, 1]), dict(prompt=BLUE, box=[0.4, 0.5, 1, 1])]),
}


def plane(region, picture, width, height):
    """How much of each cell a region covers."""
    if "mask" in region:
        fine = torch.tensor(picture).float() / 255
    else:
        w, h = width * FINE, height * FINE
        fine = torch.zeros(h, w)
        x, y = (FINE, FINE) if max(region["box"]) > 1 else (w, h)
        x0, y0, x1, y1 = (round(v * scale) for v, scale in zip(region["box"], (x, y, x, y)))
        fine[y0:y1, x0:x1] = 1
    return F.avg_pool2d(fine[None], fine.shape[0] // (height // 8))[0].double()


def shares(spec, picture):
    covered = [plane(r, picture, spec["width"], spec["height"]) for r in spec["regions"]]
    own = torch.maximum(torch.full_like(covered[0], spec["prompt_weight"]), 1 - sum(covered))
    weights = [own] + [r.get("weight", 1.0) * c for r, c in zip(spec["regions"], covered)]
    return [(w / sum(weights)).float() for w in weights]


def shrink(share, height, width):
    """The same in fewer cells, which may not divide the others: each is repeated until they do."""
    h, w = share.shape
    fine = share.repeat_interleave(math.lcm(h, height) // h, 0).repeat_interleave(math.lcm(w, width) // w, 1)
    return F.avg_pool2d(fine[None], (fine.shape[0] // height, fine.shape[1] // width))[0]


class Couple:
    """Cross-attention to several texts. The size of the level follows from the number of its positions."""

    def __init__(self, texts, counts):
        self.texts, self.maps = texts, {}
        h, w = counts[0].shape
        while h * w not in self.maps:
            self.maps[h * w] = [shrink(c, h, w).reshape(1, -1, 1) for c in counts]
            h, w = (h + 1) // 2, (w + 1) // 2

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **_):
        n, tokens, _ = hidden_states.shape

        def heads(x):
            return x.view(n, -1, attn.heads, x.shape[-1] // attn.heads).transpose(1, 2)

        q = heads(attn.to_q(hidden_states))
        mean = 0
        for text, share in zip(self.texts, self.maps[tokens]):
            weights = (q @ heads(attn.to_k(text)).transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
            mean = mean + share * (weights @ heads(attn.to_v(text))).transpose(1, 2).reshape(n, tokens, -1)
        return attn.to_out[0](mean)


def run(pipe, spec, picture, nets, images):
    width, height = spec["width"], spec["height"]
    latents = torch.randn(1, 4, height // 8, width // 8, generator=torch.Generator().manual_seed(spec["seed"]))
    pipe.scheduler.set_timesteps(STEPS)
    latents = latents * pipe.scheduler.init_noise_sigma
    ids = torch.tensor([[height, width, 0, 0, height, width]]).float()
    texts = [prompts.encode(pipe, text) for text in [spec["prompt"]] + [r["prompt"] for r in spec["regions"]]]
    if spec["negative_prompt"]:
        negative = prompts.encode(pipe, spec["negative_prompt"])
    else:
        negative = tuple(torch.zeros_like(v) for v in texts[0])
    counts = shares(spec, picture)

    def predict(x, t, embedding):
        states, pooled = embedding
        cond, more = dict(text_embeds=pooled, time_ids=ids), {}
        for name, weight in zip(spec.get("nets", []), spec.get("weights", [])):
            down, mid = nets[name](x, t, states, control.tensor(images[name]), weight, added_cond_kwargs=cond, return_dict=False)
            more = dict(down_block_additional_residuals=down, mid_block_additional_residual=mid)
        return pipe.unet(x, t, encoder_hidden_states=states, added_cond_kwargs=cond, **more).sample

    def coupled(x, t):
        pooled = sum(share.mean() * e[1] for share, e in zip(counts, texts))
        couple = Couple([e[0] for e in texts], counts)
        models = [pipe.unet] + [nets[name] for name in spec.get("nets", [])]
        plain = [m.attn_processors for m in models]
        for model, own in zip(models, plain):
            model.set_attn_processor({k: couple if ".attn2." in k else p for k, p in own.items()})
        out = predict(x, t, (texts[0][0], pooled))
        for model, own in zip(models, plain):
            model.set_attn_processor(own)
        return out

    for t in pipe.scheduler.timesteps:
        x = pipe.scheduler.scale_model_input(latents, t)
        if spec["region_mode"] == "attention":
            positive = coupled(x, t)
        else:
            positive = sum(share * predict(x, t, e) for share, e in zip(counts, texts))
        out = positive
        if spec["guidance_scale"] > 1:
            uncond = predict(x, t, negative)
            out = uncond + spec["guidance_scale"] * (positive - uncond)
            phi = spec["guidance_rescale"]
            out = phi * out * (positive.std() / out.std()) + (1 - phi) * out
        latents = pipe.scheduler.step(out, t, latents).prev_sample
    return latents


def make(store, pipe):
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    grey = ((128 - x - y // 2).clamp(0, 64) * 255 // 64).numpy().astype("uint8")
    store.picture("input_region", grey, "mask of a region: white at the left, with a slanted soft border")
    nets, images = dict(one=control.control_net("nano-controlnet", control.SEEDS["one"])), control.pictures(store)
    for name, spec in RUNS.items():
        spec = dict(negative_prompt=None, guidance_rescale=0.0, prompt_weight=0.0, num_inference_steps=STEPS, width=SIZE, height=SIZE,
                    region_mode="latent") | spec
        store.array(f"run_{name}_latents", run(pipe, spec, grey, nets, images), f"run {name}: latents after the last step")
        store.json(f"run_{name}", spec, f"run {name}: the request")
