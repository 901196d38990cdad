"""The cases of goldens.py: which schedulers, with which options, over which runs."""

SDXL = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
LEADING = SDXL | {"timestep_spacing": "leading", "steps_offset": 1}
TRAILING = SDXL | {"timestep_spacing": "trailing"}
LINSPACE = SDXL | {"timestep_spacing": "linspace"}
KARRAS = {"use_karras_sigmas": True}
V = {"prediction_type": "v_prediction"}
SAMPLE = {"prediction_type": "sample"}
ZERO_SNR = {"rescale_betas_zero_snr": True}
CUSTOM = [999, 845, 730, 587, 443, 310, 193, 116, 53, 13]
SIGMAS = [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.0]

# Options of ours that are arguments of step() in diffusers.
STEP_ARGS = ("s_churn", "s_tmin", "s_tmax", "s_noise", "eta", "use_clipped_model_output", "lms_order")

# Schedulers whose "sigmas" attribute is not in the variance-exploding form that ours reports.
HAS_VE_SIGMAS = {}

_families = {}


# With rescaled betas the first noise level is 4096, and the first step subtracts numbers of that size to
# yield one of about 15. In float32, which diffusers computes in, that alone is an error of 4096 * 2^-24 / 15 =
# 1.6e-5, and torch's square root is not correctly rounded on top of it.
ZERO_SNR_TOLERANCE = 1e-4


def add(cls, name, config, steps=None, **run):
    if steps is not None:
        run["num_inference_steps"] = steps
    case = {"class": cls, "name": name, "config": config, "run": run}
    if config.get("rescale_betas_zero_snr") and HAS_VE_SIGMAS.get(cls, True):
        case["tolerance"] = ZERO_SNR_TOLERANCE
    _families.setdefault(cls, []).append(case)


def grid(cls, configs, steps=(1, 2, 7, 25, 50)):
    """Each config at 7 steps and one other count in turn, so that every count occurs several times; the
    first config at all."""
    for i, (name, config) in enumerate(configs.items()):
        counts = steps if i == 0 else sorted({7, steps[i % len(steps)]})
        for n in counts:
            add(cls, f"{name}-{n}", config, n)


def windows(cls, config, strength=True):
    add(cls, "denoising-end", config, 20, denoising_end=0.8)
    add(cls, "denoising-start", config, 20, denoising_start=0.8)
    if strength:
        add(cls, "strength", config, 20, strength=0.35)


def euler():
    cls = "EulerDiscreteScheduler"
    grid(cls, {
        "leading": LEADING,
        "linspace": LINSPACE,
        "trailing": TRAILING,
        "defaults": {},
        "cosine": LEADING | {"beta_schedule": "squaredcos_cap_v2"},
        "karras": LEADING | KARRAS,
        "karras-v": TRAILING | KARRAS | V,
        "karras-limits": LEADING | KARRAS | {"sigma_min": 0.03, "sigma_max": 12.0},
        "exponential": LINSPACE | {"use_exponential_sigmas": True},
        "beta": LINSPACE | {"use_beta_sigmas": True},
        "log-linear": LINSPACE | {"interpolation_type": "log_linear"},
        "v": LEADING | V,
        "zero-snr-v": TRAILING | V | ZERO_SNR,
        "sample": LEADING | SAMPLE,
        "continuous-v": LINSPACE | V | {"timestep_type": "continuous"},
        "sigma-min": LEADING | {"final_sigmas_type": "sigma_min"},
        "churn": LEADING | {"s_churn": 5.0, "s_tmin": 0.3, "s_tmax": 9.0, "s_noise": 1.003},
        "trained": {"num_train_timesteps": 100, "trained_betas": [0.0001 + 0.0002 * i for i in range(100)]},
    })
    add(cls, "timesteps", LEADING, timesteps=CUSTOM)
    add(cls, "sigmas", LEADING, sigmas=SIGMAS)
    windows(cls, LEADING)
    windows(cls, TRAILING | KARRAS)


def spaced(base):
    return {
        "karras": base | KARRAS,
        "exponential": base | {"use_exponential_sigmas": True},
        "beta": base | {"use_beta_sigmas": True},
    }


def euler_ancestral():
    cls = "EulerAncestralDiscreteScheduler"
    grid(cls, {
        "leading": LEADING,
        "linspace": LINSPACE,
        "trailing": TRAILING,
        "v": LEADING | V,
        "cosine": LINSPACE | {"beta_schedule": "squaredcos_cap_v2"},
        "zero-snr-v": TRAILING | V | ZERO_SNR,
    })
    windows(cls, LEADING)


def heun():
    cls = "HeunDiscreteScheduler"
    grid(cls, {
        "leading": LEADING,
        "linspace": LINSPACE,
        "trailing": TRAILING,
        "v": LEADING | V,
        "sample": LEADING | SAMPLE,
        "exp": LINSPACE | {"beta_schedule": "exp"},
        "clip": LEADING | {"clip_sample": True, "clip_sample_range": 1.5},
    } | spaced(LEADING))
    add(cls, "timesteps", LEADING, timesteps=CUSTOM)
    windows(cls, LEADING)


def kdpm2(cls):
    grid(cls, {"leading": LEADING, "linspace": LINSPACE, "trailing": TRAILING, "v": LEADING | V} | spaced(LEADING))
    windows(cls, LEADING)


def lms():
    cls = "LMSDiscreteScheduler"
    grid(cls, {
        "leading": LEADING,
        "linspace": LINSPACE,
        "trailing": TRAILING,
        "v": LEADING | V,
        "sample": LEADING | SAMPLE,
        "order-1": LEADING | {"lms_order": 1},
        "order-3": LEADING | {"lms_order": 3},
    } | spaced(LEADING))
    # A start in the middle is left out: see the comment on lmsDiscrete in lms_discrete.go.
    add(cls, "denoising-end", LEADING, 20, denoising_end=0.8)


class BrownianIncrements:
    """Replaces DPMSolverSDE's noise sampler by increments of a Brownian motion over noise levels made of
    draws in order, as dpmsolver_sde.go does."""

    def __init__(self, draws):
        self.draws = draws
        self.first = None

    def __call__(self, sigma, sigma_next):
        z = self.draws()
        sigma, sigma_next = float(sigma), float(sigma_next)
        if self.first is None:
            self.first = (sigma_next, z)
            return z
        mid, z1 = self.first
        self.first = None
        return (z1 * (sigma - mid) ** 0.5 + z * (mid - sigma_next) ** 0.5) / (sigma - sigma_next) ** 0.5


def _patch_sde(scheduler, draws):
    scheduler.noise_sampler = BrownianIncrements(draws)


PATCH = {"DPMSolverSDEScheduler": _patch_sde}


def dpm_sde():
    cls = "DPMSolverSDEScheduler"
    grid(cls, {"leading": LEADING, "linspace": LINSPACE, "trailing": TRAILING, "v": LEADING | V,
               "s-noise": LEADING | {"s_noise": 0.9}} | spaced(LEADING))
    windows(cls, LEADING)


def families():
    if not _families:
        euler()
        euler_ancestral()
        heun()
        kdpm2("KDPM2DiscreteScheduler")
        kdpm2("KDPM2AncestralDiscreteScheduler")
        lms()
        dpm_sde()
    return _families
