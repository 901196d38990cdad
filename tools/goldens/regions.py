"""Regions with prompts of their own, restated on diffusers' encoders and UNet: predictions are joined by masks before guidance.

A mask is laid out ten times as fine as the picture and averaged over the cells of the latents. EulerDiscrete, 8 steps.
"""

import prompts
import torch

STEPS, SIZE, FINE = 8, 128, 10
RED, BLUE, GREEN = "a red circle on a white background", "a blue square on a white background", "a green star on a black background"
RUNS = {
    "region_boxes": dict(seed=41, prompt=GREEN, guidance_scale=5.0, regions=[
        dict(prompt=RED, box=[0, 0, 0.5, 1]), dict(prompt=BLUE, box=[0.5, 0, 1, 1])]),
    "region_overlap": dict(seed=42, prompt=GREEN, guidance_scale=7.0, guidance_rescale=0.4, prompt_weight=0.3, regions=[
        dict(prompt=RED, box=[0.1, 0.2, 0.7, 0.9]), dict(prompt=BLUE, box=[0.35, 0, 0.95, 0.6], weight=2.5)]),
    "region_mask": dict(seed=43, prompt=GREEN, guidance_scale=1.0, regions=[
        dict(prompt=RED, mask="input_region.png"), dict(prompt=BLUE, box=[64, 32, 128, 100])]),
}


def plane(spec, picture):
    """How much of each cell a region covers."""
    if "mask" in spec:
        fine = torch.tensor(picture).float() / 255
    else:
        fine = torch.zeros(SIZE * FINE, SIZE * FINE)
        scale = FINE if max(spec["box"]) > 1 else SIZE * FINE
        x0, y0, x1, y1 = (round(v * scale) for v in spec["box"])
        fine[y0:y1, x0:x1] = 1
    return torch.nn.functional.avg_pool2d(fine[None], fine.shape[0] // (SIZE // 8))[0].double()


def shares(spec, picture):
    covered = [plane(r, picture) for r in spec["regions"]]
    own = torch.maximum(torch.full_like(covered[0], spec["prompt_weight"]), 1 - sum(covered))
    weights = [own] + [r.get("weight", 1.0) * c for r, c in zip(spec["regions"], covered)]
    return [(w / sum(weights)).float() for w in weights]


def run(pipe, spec, picture):
    latents = torch.randn(1, 4, SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(spec["seed"]))
    pipe.scheduler.set_timesteps(STEPS)
    latents = latents * pipe.scheduler.init_noise_sigma
    ids = torch.tensor([[SIZE, SIZE, 0, 0, SIZE, SIZE]]).float()
    texts = [prompts.encode(pipe, text) for text in [spec["prompt"]] + [r["prompt"] for r in spec["regions"]]]
    negative = tuple(torch.zeros_like(v) for v in texts[0])
    counts = shares(spec, picture)

    def predict(x, t, embedding):
        states, pooled = embedding
        return pipe.unet(x, t, encoder_hidden_states=states, added_cond_kwargs=dict(text_embeds=pooled, time_ids=ids)).sample

    for t in pipe.scheduler.timesteps:
        x = pipe.scheduler.scale_model_input(latents, t)
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
    for name, spec in RUNS.items():
        spec = dict(negative_prompt=None, guidance_rescale=0.0, prompt_weight=0.0, num_inference_steps=STEPS, width=SIZE, height=SIZE) | spec
        store.array(f"run_{name}_latents", run(pipe, spec, grey), f"run {name}: latents after the last step")
        store.json(f"run_{name}", spec, f"run {name}: the request")
