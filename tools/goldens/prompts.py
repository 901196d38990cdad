"""The prompt language, restated on diffusers' encoders and UNet: editing, AND, and ComfyUI's weights. EulerDiscrete, 8 steps, guidance 5.

Texts of steps are written out by hand, as A1111's documentation gives them.
"""

import torch

STEPS, GUIDANCE, SIZE = 8, 5.0, 128
RED, BLUE = "a red circle on a white background", "a blue square on a white background"
RUNS = {
    "edit": dict(seed=31, prompt="[a red circle:a blue square:0.5] on a white background", texts=[RED] * 4 + [BLUE] * 4),
    "edit_steps": dict(seed=32, prompt="[a red circle::3]", negative_prompt="[:a green star:2]", texts=["a red circle"] * 3 + [""] * 5,
                       negatives=[""] * 2 + ["a green star"] * 6),
    "alternate": dict(seed=33, prompt="[a red circle|a blue square] on a white background", texts=[RED, BLUE] * 4),
    "and": dict(seed=34, prompt="a red circle AND a blue background :0.6 AND a star :-0.3",
                parts=[("a red circle", 1.0), ("a blue background", 0.6), ("a star", -0.3)]),
    "comfyui": dict(seed=35, prompt="a (red:1.4) (circle:0.6) on a blue background", prompt_syntax="comfyui",
                    weights={"red": 1.4, "circle": 0.6}, plain="a red circle on a blue background"),
}


def encode(pipe, text):
    """Hidden states and pooled output, as for a positive prompt, also for an empty text."""
    return pipe.encode_prompt(text, do_classifier_free_guidance=False)[::2][:2]


def weigh(pipe, text, weights):
    """ComfyUI's weights: each state goes away from that of an empty text, by its word's weight."""
    states, pooled = encode(pipe, text)
    empty, _ = encode(pipe, "")
    words = [pipe.tokenizer.decode([i]).strip() for i in pipe.tokenizer(text).input_ids]
    assert set(weights) <= set(words), words
    for k, word in enumerate(words):
        states[:, k] = (states[:, k] - empty[:, k]) * weights.get(word, 1.0) + empty[:, k]
    return states, pooled


def run(pipe, spec):
    latents = torch.randn(1, 4, SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(spec["seed"]))
    pipe.scheduler.set_timesteps(STEPS)
    latents = latents * pipe.scheduler.init_noise_sigma
    ids = torch.tensor([[SIZE, SIZE, 0, 0, SIZE, SIZE]]).float()

    def predict(x, t, embedding):
        states, pooled = embedding
        return pipe.unet(x, t, encoder_hidden_states=states, added_cond_kwargs=dict(text_embeds=pooled, time_ids=ids)).sample

    for i, t in enumerate(pipe.scheduler.timesteps):
        if "negatives" in spec:
            negative = encode(pipe, spec["negatives"][i])
        else:
            negative = tuple(torch.zeros_like(v) for v in encode(pipe, ""))
        if "parts" in spec:
            parts = [(encode(pipe, text), w) for text, w in spec["parts"]]
        elif "weights" in spec:
            parts = [(weigh(pipe, spec["plain"], spec["weights"]), 1.0)]
        else:
            parts = [(encode(pipe, spec["texts"][i]), 1.0)]
        x = pipe.scheduler.scale_model_input(latents, t)
        uncond = predict(x, t, negative)
        out = uncond + sum(w * GUIDANCE * (predict(x, t, e) - uncond) for e, w in parts)
        latents = pipe.scheduler.step(out, t, latents).prev_sample
    return latents


def make(store, pipe):
    for name, spec in RUNS.items():
        spec = dict(negative_prompt=None, guidance_scale=GUIDANCE, guidance_rescale=0.0, num_inference_steps=STEPS, width=SIZE, height=SIZE) | spec
        store.array(f"run_{name}_latents", run(pipe, spec), f"run {name}: latents after the last step")
        store.json(f"run_{name}", spec, f"run {name}: the request")
