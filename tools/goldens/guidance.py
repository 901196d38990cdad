"""Ways to combine the halves of guidance: diffusers' guiders, and CFG++ restated. 8 steps of Euler but where a run says otherwise.

CFG++ (arXiv 2406.08070, algorithm 2): to x0 of the guided prediction, and from there with the noise of the unguided one. In k-diffusion's
frame, where x = x0 + sigma noise, this is what ComfyUI's euler_cfg_pp and euler_ancestral_cfg_pp do.
"""

import torch
from diffusers import DDIMScheduler, EulerAncestralDiscreteScheduler
from diffusers.guiders import AdaptiveProjectedGuidance, ClassifierFreeZeroStarGuidance

STEPS, SIZE = 8, 128
PROMPT, NEGATIVE = "a small red circle on a blue background", "a green square"
RUNS = {
    "apg": dict(seed=61, guidance_scale=12.0, method="apg", norm_threshold=15.0, eta=1.0, momentum=0.0),
    "apg_cut": dict(seed=62, guidance_scale=12.0, method="apg", norm_threshold=1.5, eta=0.25, momentum=-0.5, guidance_rescale=0.4,
                    negative_prompt=NEGATIVE),
    "zero_star": dict(seed=63, guidance_scale=7.5, method="cfg_zero_star", zero_init_steps=1, negative_prompt=NEGATIVE),
    "zero_star_2": dict(seed=64, guidance_scale=7.5, method="cfg_zero_star", zero_init_steps=2),
    "plus_euler": dict(seed=65, guidance_scale=0.6, method="cfg_plus_plus", scheduler="EulerDiscrete"),
    "plus_ancestral": dict(seed=66, guidance_scale=1.2, method="cfg_plus_plus", scheduler="EulerAncestralDiscrete",
                           negative_prompt=NEGATIVE),
    "plus_ddim": dict(seed=67, guidance_scale=0.6, method="cfg_plus_plus", scheduler="DDIM"),
}


def guider_of(spec):
    common = dict(guidance_scale=spec["guidance_scale"], guidance_rescale=spec["guidance_rescale"])
    if spec["method"] == "apg":
        return AdaptiveProjectedGuidance(adaptive_projected_guidance_momentum=spec["momentum"] or None, eta=spec["eta"],
                                         adaptive_projected_guidance_rescale=spec["norm_threshold"], **common)
    if spec["method"] == "cfg_zero_star":
        return ClassifierFreeZeroStarGuidance(zero_init_steps=spec["zero_init_steps"], **common)
    return None


def schedulers(pipe, spec):
    config = pipe.scheduler.config
    if spec.get("scheduler") == "DDIM":
        return DDIMScheduler.from_config(config, set_alpha_to_one=False)  # as SDXL's file says
    kinds = dict(EulerAncestralDiscrete=EulerAncestralDiscreteScheduler)
    name = spec.get("scheduler", "EulerDiscrete")
    return kinds[name].from_config(config) if name in kinds else type(pipe.scheduler).from_config(config)


class Halves:
    """Both predictions of the nano UNet."""

    def __init__(self, pipe, prompt, negative):
        states, none, pooled, no_pool = pipe.encode_prompt(prompt, negative_prompt=negative, do_classifier_free_guidance=True)
        self.pipe, self.sides = pipe, ((none, no_pool), (states, pooled))
        self.ids = torch.tensor([[SIZE, SIZE, 0, 0, SIZE, SIZE]]).float()

    def __call__(self, x, t):
        return [self.pipe.unet(x, t, encoder_hidden_states=s, added_cond_kwargs=dict(text_embeds=p, time_ids=self.ids)).sample
                for s, p in self.sides]


def run(pipe, spec):
    generator = torch.Generator().manual_seed(spec["seed"])
    x = torch.randn(1, 4, SIZE // 8, SIZE // 8, generator=generator)
    s = schedulers(pipe, spec)
    s.set_timesteps(STEPS)
    x = x * s.init_noise_sigma
    predict, guider = Halves(pipe, PROMPT, spec["negative_prompt"]), guider_of(spec)
    for i, t in enumerate(s.timesteps):
        s._step_index = i  # which step() would count
        uncond, cond = predict(s.scale_model_input(x, t), t)
        if guider is None:
            x = plus(s, x, uncond, uncond + spec["guidance_scale"] * (cond - uncond), i, t, generator)
            continue
        guider.set_state(step=i, num_inference_steps=STEPS, timestep=t)
        if i == 0:
            guider.prepare_inputs({})  # makes the momentum's buffer
        x = s.step(guider.forward(cond, uncond).pred, t, x).prev_sample
    return x


def plus(s, x, uncond, guided, i, t, generator):
    if isinstance(s, DDIMScheduler):
        before = t - s.config.num_train_timesteps // STEPS
        a, b = s.alphas_cumprod[t], s.alphas_cumprod[before] if before >= 0 else s.final_alpha_cumprod
        return b.sqrt() * (x - (1 - a).sqrt() * guided) / a.sqrt() + (1 - b).sqrt() * uncond
    now, after = s.sigmas[i], s.sigmas[i + 1]
    x0, d = x - now * guided, uncond
    if isinstance(s, EulerAncestralDiscreteScheduler):
        up = (after**2 * (now**2 - after**2) / now**2).sqrt()
        return x0 + d * (after**2 - up**2).sqrt() + torch.randn(x.shape, generator=generator) * up
    return x0 + d * after


def make(store, pipe):
    for name, spec in RUNS.items():
        spec = dict(prompt=PROMPT, negative_prompt=None, guidance_rescale=0.0, num_inference_steps=STEPS, width=SIZE, height=SIZE) | spec
        store.array(f"run_{name}_latents", run(pipe, spec), f"run {name}: latents after the last step")
        store.json(f"run_{name}", spec, f"run {name}: the request")
