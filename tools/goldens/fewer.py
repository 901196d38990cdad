"""Runs with fewer evaluations: a guidance interval, DeepCache and T-GATE. The last two are made by their authors' packages, DeepCache 0.1.1
and tgate 1.0.0 of PyPI (pip install --no-deps)."""

import torch

RED = "a red circle on a blue background"
BASE = dict(prompt=RED, seed=42, guidance_scale=5.0, num_inference_steps=20, width=128, height=128)
RUNS = {
    "interval": dict(guidance_start=0.2, guidance_stop=0.75),
    "interval_rescale": dict(guidance_start=0.0, guidance_stop=0.5, guidance_rescale=0.7),
    "deepcache": dict(deepcache=3, deepcache_branch=0),
    "deepcache_1": dict(deepcache=2, deepcache_branch=1),
    "deepcache_3": dict(deepcache=5, deepcache_branch=3),
    "tgate": dict(tgate=8),
    "tgate_rescale": dict(tgate=12, guidance_rescale=0.7),
}


def guided(i, n, start, stop):
    """Whether step i of n is guided: diffusers.guiders.guider_utils' rule, int(start * n) <= i < int(stop * n)."""
    return int(start * n) <= i < int(stop * n)


class Interval:
    """Replaces the unconditional half by the conditional one where there is no guidance: the guided sum is then the conditional half."""

    def __init__(self, unet, n, start, stop):
        self.unet, self.forward, self.i = unet, unet.forward, 0
        self.inside = lambda i: guided(i, n, start, stop)

    def __enter__(self):
        def forward(*args, **kwargs):
            out = self.forward(*args, **kwargs)
            if not self.inside(self.i):
                text = out[0].chunk(2)[1]
                out = (torch.cat([text, text]), *out[1:])
            self.i += 1
            return out

        self.unet.forward = forward

    def __exit__(self, *_):
        self.unet.forward = self.forward


def deepcache(pipe, interval, branch, run):
    from DeepCache import DeepCacheSDHelper

    helper = DeepCacheSDHelper(pipe=pipe)
    helper.set_params(cache_interval=interval, cache_branch_id=branch)
    helper.enable()
    try:
        return run()
    finally:
        helper.disable()


def tgate(pipe, gate, args):
    from tgate import TgateSDXLLoader

    forwards = {m: m.__dict__.get("forward") for m in pipe.unet.modules()}
    TgateSDXLLoader(pipe)
    # an interval of 1 leaves self-attention as it is
    out = pipe.tgate(gate_step=gate, sp_interval=1, fi_interval=1, warm_up=0, **args)
    for m, forward in forwards.items():
        m.__dict__.pop("forward", None)
        if forward is not None:
            m.forward = forward
        m.__dict__.pop("cache", None)
    return out


def make(store, pipe):
    for name, spec in RUNS.items():
        spec = {**BASE, **spec}
        args = dict(prompt=spec["prompt"], guidance_scale=spec["guidance_scale"], num_inference_steps=spec["num_inference_steps"],
                    width=spec["width"], height=spec["height"], generator=torch.Generator().manual_seed(spec["seed"]), output_type="latent")
        if spec.get("guidance_rescale"):
            args["guidance_rescale"] = spec["guidance_rescale"]
        if "tgate" in spec:
            out = tgate(pipe, spec["tgate"], args)
        elif "deepcache" in spec:
            out = deepcache(pipe, spec["deepcache"], spec["deepcache_branch"], lambda: pipe(**args))
        else:
            with Interval(pipe.unet, spec["num_inference_steps"], spec["guidance_start"], spec["guidance_stop"]):
                out = pipe(**args)
        store.array(f"fewer_{name}_latents", out.images, f"run fewer {name}: latents at the end")
        store.json(f"fewer_{name}", spec, f"run fewer {name}: the request")
