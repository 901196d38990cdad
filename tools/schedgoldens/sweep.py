"""Runs diffusers over nearly every combination of spacing, noise levels, prediction and end, and writes goldens of all to a folder:

    python tools/schedgoldens/sweep.py FOLDER [SCHEDULER ...]
    DAGUERRE_GOLDENS=FOLDER go test ./runtime/scheduler -run TestGoldens

It is too large to commit. What diffusers cannot run, or ends in NaN, is named and left out.
"""
import inspect
import itertools
import pathlib
import sys
import textwrap

import cases
import goldens
from diffusers.schedulers import scheduling_dpmsolver_multistep as multistep

STEPS = (1, 2, 3, 5, 20, 48, 96)
SPACING = {"leading": cases.LEADING, "trailing": cases.TRAILING, "linspace": cases.LINSPACE}
LEVELS = {"": {}, "karras": cases.KARRAS, "exponential": {"use_exponential_sigmas": True}, "beta": {"use_beta_sigmas": True},
          "lu": {"use_lu_lambdas": True}}
PREDICTION = {"": {}, "v": cases.V, "sample": cases.SAMPLE}
BETAS = {"": {}, "cosine": {"beta_schedule": "squaredcos_cap_v2"}}
LIMIT = {"": {}, "threshold": {"thresholding": True, "sample_max_value": 1.6}}
END = {"": {}, "sigma-min": {"final_sigmas_type": "sigma_min"}}
NOISE = {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}
SDE = {"algorithm_type": "sde-dpmsolver++"}
SNR = {"": {}, "zero-snr": cases.ZERO_SNR}
START = {"": {}, "strength": {"strength": 0.4}}


def orders(*numbers):
    return {f"order-{n}": {"solver_order": n} for n in numbers}


KARRAS_LIKE = {k: v for k, v in LEVELS.items() if k != "lu"}
FREE = {"": {"clip_sample": False}}
# The axes of each scheduler; LIMIT and END where it has the options.
AXES = {
    "EulerDiscreteScheduler": [SPACING, KARRAS_LIKE, PREDICTION, BETAS, END, SNR],
    "EulerAncestralDiscreteScheduler": [SPACING, PREDICTION, BETAS, SNR],
    "HeunDiscreteScheduler": [SPACING, KARRAS_LIKE, PREDICTION, BETAS],
    "KDPM2DiscreteScheduler": [SPACING, KARRAS_LIKE, PREDICTION, BETAS],
    "KDPM2AncestralDiscreteScheduler": [SPACING, KARRAS_LIKE, PREDICTION, BETAS],
    "LMSDiscreteScheduler": [SPACING, KARRAS_LIKE, PREDICTION, BETAS],
    "DPMSolverSDEScheduler": [SPACING, KARRAS_LIKE, PREDICTION, BETAS],
    "DPMSolverMultistepScheduler": [SPACING, LEVELS, PREDICTION, BETAS, LIMIT, END,
                                    orders(2, 3) | {"sde": SDE, "noise": NOISE, "heun": {"solver_type": "heun"}}],
    "DPMSolverSinglestepScheduler": [{"": cases.SDXL}, KARRAS_LIKE, PREDICTION, BETAS, LIMIT, END,
                                     orders(2, 3) | {"sde": SDE, "noise": NOISE}],
    "UniPCMultistepScheduler": [SPACING, KARRAS_LIKE, PREDICTION, BETAS, LIMIT, END, SNR,
                                orders(2, 3) | {"noise": {"predict_x0": False}}],
    "DEISMultistepScheduler": [SPACING, KARRAS_LIKE, PREDICTION, BETAS, LIMIT, orders(2, 3)],
    "SASolverScheduler": [SPACING, KARRAS_LIKE, PREDICTION, BETAS, LIMIT,
                          {"": {}, "noise": {"algorithm_type": "noise_prediction"}, "3": {"predictor_order": 3}}],
    "DDIMScheduler": [SPACING, FREE, PREDICTION, BETAS, LIMIT, SNR, {"": {}, "one": {"set_alpha_to_one": False}, "eta": {"eta": 1.0}}],
    "DDPMScheduler": [SPACING, FREE, PREDICTION, BETAS, LIMIT, SNR],
    "PNDMScheduler": [SPACING, {"": {"skip_prk_steps": True}, "prk": {}}, {"": {}, "v": cases.V}, BETAS],
    "LCMScheduler": [{"": cases.SDXL}, FREE, PREDICTION, LIMIT, SNR],
    "TCDScheduler": [{"": cases.SDXL}, FREE, PREDICTION, LIMIT, SNR, {"": {}, "eta-0": {"eta": 0.0}}],
    "IPNDMScheduler": [{"": {}}],
    "EDMEulerScheduler": [{"": {}, "exponential": {"sigma_schedule": "exponential"}}, {"": {}, "v": cases.V}, END],
    "EDMDPMSolverMultistepScheduler": [{"": {}, "exponential": {"sigma_schedule": "exponential"}}, {"": {}, "v": cases.V}, END, LIMIT,
                                       orders(1, 2, 3) | {"sde": SDE, "sde-heun": SDE | {"solver_type": "heun"}}],
}


def wide(name, config):
    """Whether a step is computed in float64: from the highest level of a cosine schedule, sigma = 20,000, and between the close levels of
    beta spacing in third order, float32 inside diffusers loses four digits."""
    steep = config.get("beta_schedule") == "squaredcos_cap_v2" or config.get("rescale_betas_zero_snr")
    third = 3 in (config.get("solver_order"), config.get("predictor_order"))
    return bool(steep or config.get("use_beta_sigmas") and third)


ANY_START = [name for name in AXES if name != "LMSDiscreteScheduler"]


def sweep(name):
    for steps in STEPS:
        for picked in itertools.product(*[axis.items() for axis in AXES[name]], START.items()):
            config, run = {}, {"num_inference_steps": steps}
            for _, options in picked[:-1]:
                config |= options
            if picked[-1][0]:
                if steps not in (3, 20) or name not in ANY_START:
                    continue
                run |= picked[-1][1]
            label = "-".join([p[0] for p in picked if p[0]] + [str(steps)])
            yield {"class": name, "name": label, "config": config, "run": run, "float64": wide(name, config)}


def keep_float64():
    """DPMSolverMultistep rounds its sample to float32 in the middle of a step: where a step is computed in float64, it does not."""
    source = textwrap.dedent(inspect.getsource(multistep.DPMSolverMultistepScheduler.step))
    assert "sample.to(torch.float32)" in source
    exec(source.replace("sample.to(torch.float32)", "sample"), multistep.__dict__)
    multistep.DPMSolverMultistepScheduler.step = multistep.__dict__["step"]


def main():
    keep_float64()
    goldens.OUT = pathlib.Path(sys.argv[1])
    only = sys.argv[2:] or AXES
    goldens.write_all({name: list(sweep(name)) for name in only}, tolerant=True)


if __name__ == "__main__":
    main()
