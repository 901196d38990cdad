"""Writes the scheduler goldens: runtime/scheduler/testdata/goldens/<scheduler>.{json,npy}.

    python tools/schedgoldens/goldens.py [SCHEDULER ...]     (from anywhere; versions in requirements.txt)

Every case runs diffusers' scheduler over a denoising loop with a deterministic model function and
deterministic "noise" (see model and noise; runtime/scheduler/golden_test.go has the same two). The .json
holds each case's config, run options, timesteps and sigmas; the .npy holds all samples of all cases, one
per row: the first sample, then the one after each evaluation.
"""
import importlib
import json
import math
import pathlib
import sys
import types
import warnings

import numpy as np
import torch

import cases
import rounding

SHAPE = (2, 4, 2, 3)
# diffusers' solvers take three channels of a learned output for the prediction.
LEARNED_SHAPE = (2, 3, 2, 4)
SIZE = math.prod(SHAPE)
OUT = pathlib.Path(__file__).parents[2] / "runtime/scheduler/testdata/goldens"

torch.set_num_threads(1)
warnings.filterwarnings("ignore")
import diffusers  # noqa: E402
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl_img2img import (  # noqa: E402
    StableDiffusionXLImg2ImgPipeline,
)

diffusers.utils.logging.set_verbosity_error()
J = np.arange(SIZE, dtype=np.float64)


def model(x, t, learned):
    """What stands for the UNet: smooth, of about the size of its input, different for every value. With a
    learned variance, that follows in as many channels."""
    shape = x.shape
    x = x.numpy().astype(np.float64).reshape(-1)
    out = 0.8 * x + 0.2 * np.sin(1.3 * x + 0.01 * float(t) + 0.1 * J)
    out = torch.from_numpy(out.astype(np.float32).reshape(shape))
    if not learned:
        return out
    variance = 0.3 + 0.2 * np.sin(0.7 * x + 0.02 * float(t) + J)
    return torch.cat([out, torch.from_numpy(variance.astype(np.float32).reshape(shape))], dim=1)


def noise(k, shape):
    """Draw number k; draw 0 is the first sample of a run, draw 1 the original picture."""
    v = math.sqrt(2) * np.sin(12.9898 * (1.0 + J) + 78.233 * k + 0.37 * k * J)
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


class Draws:
    """Replaces randn_tensor: draws 2, 3, ... in turn."""

    def __init__(self, shape):
        self.k, self.shape = 2, shape

    def __call__(self, *args, **kwargs):
        z = noise(self.k, self.shape)
        self.k += 1
        return z


def ve_sigmas(scheduler):
    """The noise level at each evaluation and after the last. KDPM2's sigmas_interpol has the levels of its second
    evaluations; what it keeps in sigmas for those are the levels after them."""
    s = getattr(scheduler, "sigmas", None)
    if s is None:
        return None
    s = [float(x) for x in s][: len(scheduler.timesteps) + 1]
    if getattr(scheduler.config, "use_flow_sigmas", False):
        return [x / (1 - x) for x in s]
    if hasattr(scheduler, "sigmas_interpol"):
        shift = 0 if "Ancestral" not in type(scheduler).__name__ else -1
        s[1:-1:2] = [float(x) for x in scheduler.sigmas_interpol[1 + shift : len(s) - 1 + shift : 2]]
    elif type(scheduler).__name__ == "DPMSolverSDEScheduler":
        s[1:-1:2] = [math.sqrt(a * b) for a, b in zip(s[0:-2:2], s[2::2])]
    return s


def scheduler_class(name):
    if name != "DPMSolverSDEScheduler":
        return getattr(diffusers, name)
    # It imports torchsde for its noise, which cases.py replaces: an empty module will do.
    sys.modules.setdefault("torchsde", types.ModuleType("torchsde"))
    return importlib.import_module("diffusers.schedulers.scheduling_dpmsolver_sde").DPMSolverSDEScheduler


def run_case(case):
    cls = scheduler_class(case["class"])
    step_args = cases.STEP_ARGS
    config = {k: v for k, v in case["config"].items() if k not in step_args}
    extra = {k: v for k, v in case["config"].items() if k in step_args and k != "lms_order"}
    if "lms_order" in case["config"]:
        extra["order"] = case["config"]["lms_order"]
    tau = {k: config.pop(k) for k in cases.TAU if k in config}
    if tau:
        level, start, end = (tau.get(k, d) for k, d in zip(cases.TAU, (1.0, 800, 200)))
        config["tau_func"] = lambda t: level if end <= t <= start else 0
    if "solver_p" in config:
        plain = {k: v for k, v in config.items() if k != "solver_p"}
        config["solver_p"] = getattr(diffusers, config["solver_p"]).from_config(cls(**plain).config)
    scheduler = cls(**config)
    learned = config.get("variance_type") in ("learned", "learned_range")
    shape = LEARNED_SHAPE if learned else SHAPE
    run = case["run"]
    if "timesteps" in run:
        scheduler.set_timesteps(timesteps=run["timesteps"])
    elif "sigmas" in run:
        scheduler.set_timesteps(sigmas=run["sigmas"])
    else:
        scheduler.set_timesteps(run["num_inference_steps"])
    timesteps = scheduler.timesteps
    n = run.get("num_inference_steps", len(timesteps))
    draws = Draws(shape)
    sys.modules[cls.__module__].randn_tensor = draws
    patch = getattr(cases, "PATCH", {}).get(case["class"])
    if patch:
        patch(scheduler, draws)

    sample = noise(0, shape) * scheduler.init_noise_sigma
    if "strength" in run or "denoising_start" in run:
        pipe = types.SimpleNamespace(scheduler=scheduler)
        timesteps, _ = StableDiffusionXLImg2ImgPipeline.get_timesteps(
            pipe, n, run.get("strength"), None, denoising_start=run.get("denoising_start")
        )
        if "strength" in run:
            if hasattr(scheduler, "add_noise"):
                sample = scheduler.add_noise(noise(1, shape), noise(0, shape), timesteps[:1].repeat(shape[0]))
            else:  # IPNDM
                begin = scheduler.begin_index
                sample = scheduler.alphas[begin] * noise(1, shape) + scheduler.betas[begin] * noise(0, shape)
        else:
            sample = noise(1, shape)
    begin = len(scheduler.timesteps) - len(timesteps)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)  # as the pipelines do
    if "denoising_end" in run:
        train = scheduler.config.num_train_timesteps
        cutoff = int(round(train - run["denoising_end"] * train))
        timesteps = timesteps[: len([t for t in timesteps if t >= cutoff])]

    rows = [sample.numpy().reshape(-1).copy()]
    wide = torch.float64 if case["float64"] else torch.float32
    if case["float64"]:
        levels = "sigmas" if hasattr(scheduler, "sigmas") else "alphas_cumprod"
        setattr(scheduler, levels, getattr(scheduler, levels).double())
    for t in timesteps:
        x = scheduler.scale_model_input(sample, t)
        sample = scheduler.step(model(x, t, learned).to(wide), t, sample.to(wide), **extra).prev_sample.float()
        assert sample.dtype == torch.float32, sample.dtype
        rows.append(sample.numpy().reshape(-1).copy())
    sigmas = ve_sigmas(scheduler)
    if sigmas is not None and cases.HAS_VE_SIGMAS.get(case["class"], True):
        sigmas = sigmas[begin : begin + len(timesteps) + 1]
    else:
        sigmas = None
    return {
        "name": case["name"],
        "config": case["config"],
        "run": run,
        "timesteps": [float(t) for t in timesteps],
        "sigmas": sigmas,
        "init_noise_sigma": float(scheduler.init_noise_sigma),
        "draws": draws.k - 2,
        "rows": len(rows),
    }, rows


def write_all(families, tolerant=False):
    """Runs and stores every family. What diffusers itself cannot run has no place in the list: it ends the program, or,
    where tolerant, is named and left out."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, family in families.items():
        metas, rows = [], []
        for case in family:
            try:
                with rounding.Correct():
                    meta, r = run_case(case)
                if not np.isfinite(np.array(r)).all():
                    raise ArithmeticError("diffusers yields NaN or infinity")
            except Exception as e:
                wrong = f"{case['class']} {case['name']}: {type(e).__name__}: {e}"
                if not tolerant:
                    raise SystemExit(wrong) from e
                print(wrong)
                continue
            metas.append(meta)
            rows += r
        head = {"class": name, "diffusers": diffusers.__version__, "torch": torch.__version__, "shape": SHAPE}
        lines = ",\n".join(json.dumps(m) for m in metas)
        (OUT / f"{name}.json").write_text(json.dumps(head)[:-1] + ', "cases": [\n' + lines + "\n]}\n")
        np.save(OUT / f"{name}.npy", np.array(rows, dtype=np.float32))
        print(f"{name}: {len(metas)} cases, {len(rows)} rows", flush=True)


def main():
    only = sys.argv[1:]
    write_all({name: family for name, family in cases.families().items() if not only or name in only})


if __name__ == "__main__":
    main()
