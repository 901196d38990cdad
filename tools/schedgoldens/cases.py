"""The cases of goldens.py: which schedulers, with which options, over which runs."""

SDXL = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
LEADING = SDXL | {"timestep_spacing": "leading", "steps_offset": 1}
TRAILING = SDXL | {"timestep_spacing": "trailing"}
LINSPACE = SDXL | {"timestep_spacing": "linspace"}
KARRAS = {"use_karras_sigmas": True}
V = {"prediction_type": "v_prediction"}
SAMPLE = {"prediction_type": "sample"}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
LEARNED = {"variance_type": "learned"}
LEARNED_RANGE = {"variance_type": "learned_range"}
ZERO_SNR = {"rescale_betas_zero_snr": True}
CUSTOM = [999, 845, 730, 587, 443, 310, 193, 116, 53, 13]
SIGMAS = [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.0]

# Options of ours that are arguments of step() in diffusers.
# tau of SASolver is a function in diffusers; goldens.py makes it of these.
TAU = ("tau", "tau_start", "tau_end")
STEP_ARGS = ("s_churn", "s_tmin", "s_tmax", "s_noise", "eta", "use_clipped_model_output", "lms_order")

# Schedulers whose "sigmas" attribute is not in the variance-exploding form that ours reports.
HAS_VE_SIGMAS = {"IPNDMScheduler": False}

_families = {}


def add(cls, name, config, steps=None, **run):
    if steps is not None:
        run["num_inference_steps"] = steps
    case = {"class": cls, "name": name, "config": config, "run": run, "float64": name.startswith(IN_FLOAT64.get(cls, ("\0",)))}
    _families.setdefault(cls, []).append(case)


def grid(cls, configs, steps=(1, 2, 7, 25, 50)):
    """Each config at 7 steps and one other count in turn, so that every count occurs several times; the
    first config at all."""
    for i, (name, config) in enumerate(configs.items()):
        counts = steps if i == 0 else sorted({7, steps[i % len(steps)]})
        for n in counts:
            add(cls, f"{name}-{n}", config, n)


# Cases in which diffusers loses digits in float32 that it has in float64, so that a step of it is computed in that:
# DEIS predicts noise, and from a flow level of 0.999 on subtracts two numbers 1,000 times the size of the result;
# SASolver's third-order coefficients are small differences of large terms; and from the first level of a cosine schedule, sigma = 20,000,
# solvers that interpolate the noise subtract two numbers of that size (DPMSolverMultistep computes in float32 whatever it is given).
IN_FLOAT64 = {
    "DEISMultistepScheduler": ("flow", "cosine"),
    "SASolverScheduler": ("noise-orders-3", "cosine"),
    "DPMSolverSinglestepScheduler": ("noise-cosine",),
    "UniPCMultistepScheduler": ("noise-cosine", "noise-zero-snr"),
}
COSINE = {"beta_schedule": "squaredcos_cap_v2"}
THRESHOLD = {"thresholding": True, "sample_max_value": 1.6}
# Step counts at which numpy.arange's values lie halfway between two whole numbers.
HALVES = (48, 96)


def flow(cls, config=SDXL, steps=(1, 2, 7, 25, 50)):
    """Flow-matching models; also one that predicts noise between flow levels, as diffusers allows."""
    grid(cls, {
        "flow": config | FLOW,
        "flow-shift": config | FLOW | {"flow_shift": 3.0},
        "flow-epsilon": config | {"use_flow_sigmas": True, "flow_shift": 2.0},
        "flow-threshold": config | FLOW | {"thresholding": True, "sample_max_value": 1.6},
    }, steps)
    if cls != "SASolverScheduler":  # whose add_noise takes the levels of ordinary training, whatever use_flow_sigmas says
        add(cls, "flow-strength", config | FLOW | {"flow_shift": 3.0}, 20, strength=0.35)


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
    for n in HALVES:
        add(cls, f"trailing-{n}", TRAILING, n)
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


def dpm_multistep():
    cls = "DPMSolverMultistepScheduler"
    grid(cls, {
        "linspace": LINSPACE,
        "leading": LEADING,
        "trailing": TRAILING,
        "v": LEADING | V,
        "sample": LEADING | SAMPLE,
        "order-1": LEADING | {"solver_order": 1},
        "order-3": LEADING | {"solver_order": 3},
        "heun": LEADING | {"solver_type": "heun"},
        "lu": LEADING | {"use_lu_lambdas": True},
        "cosine-karras": LEADING | KARRAS | {"beta_schedule": "squaredcos_cap_v2"},
        "zero-snr-v": TRAILING | V | ZERO_SNR,
        "threshold": LEADING | {"thresholding": True, "sample_max_value": 1.6, "dynamic_thresholding_ratio": 0.9},
        "euler-at-final": LEADING | {"euler_at_final": True, "final_sigmas_type": "sigma_min"},
        "not-lower-order": LEADING | {"lower_order_final": False, "final_sigmas_type": "sigma_min"},
        "lambda-clipped": LINSPACE | {"lambda_min_clipped": -5.1, "beta_schedule": "squaredcos_cap_v2"},
        "sde": LEADING | {"algorithm_type": "sde-dpmsolver++"},
        "sde-heun": LEADING | {"algorithm_type": "sde-dpmsolver++", "solver_type": "heun"},
        "sde-order-3": LEADING | {"algorithm_type": "sde-dpmsolver++", "solver_order": 3},
        "sde-karras": LEADING | KARRAS | {"algorithm_type": "sde-dpmsolver++"},
        "noise": LEADING | {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
        "noise-order-3-v": LEADING | V | {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "solver_order": 3},
        "noise-heun-sample": LEADING | SAMPLE | {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "solver_type": "heun"},
        "noise-threshold": LEADING | {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "thresholding": True, "sample_max_value": 1.6},
        "sde-noise": LEADING | {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"},
        "sde-noise-heun": LEADING | {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min", "solver_type": "heun"},
    } | spaced(LEADING))
    add(cls, "timesteps", LEADING, timesteps=CUSTOM)
    windows(cls, LEADING)
    windows(cls, LEADING | KARRAS | {"algorithm_type": "sde-dpmsolver++"})
    flow(cls)
    flow_sde = SDXL | FLOW | {"flow_shift": 3.0}
    grid(cls, {
        "flow-order-3": flow_sde | {"solver_order": 3},
        "flow-sde": flow_sde | {"algorithm_type": "sde-dpmsolver++"},
        "learned": LEADING | LEARNED,
        "learned-range-noise": LEADING | LEARNED_RANGE | {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
    })
    for n in HALVES:
        add(cls, f"trailing-{n}", TRAILING, n)


def dpm_singlestep():
    cls = "DPMSolverSinglestepScheduler"
    noise = {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}
    grid(cls, {
        "linspace": SDXL,
        "v": SDXL | V,
        "sample": SDXL | SAMPLE,
        "order-1": SDXL | {"solver_order": 1},
        "order-3": SDXL | {"solver_order": 3},
        "order-3-heun": SDXL | {"solver_order": 3, "solver_type": "heun"},
        "heun": SDXL | {"solver_type": "heun"},
        "sigma-min": SDXL | {"final_sigmas_type": "sigma_min", "lower_order_final": True},
        "threshold": SDXL | {"thresholding": True, "sample_max_value": 1.6},
        "sde": SDXL | {"algorithm_type": "sde-dpmsolver++"},
        "sde-order-3": SDXL | {"algorithm_type": "sde-dpmsolver++", "solver_order": 3},
        "sde-order-3-heun": SDXL | {"algorithm_type": "sde-dpmsolver++", "solver_order": 3, "solver_type": "heun"},
        "noise": SDXL | noise,
        "noise-order-3": SDXL | noise | {"solver_order": 3},
        "noise-order-3-heun": SDXL | noise | {"solver_order": 3, "solver_type": "heun"},
    } | spaced(SDXL), steps=(1, 2, 7, 24, 50))
    add(cls, "groups-of-3", SDXL | {"solver_order": 3, "final_sigmas_type": "sigma_min"}, 9)
    add(cls, "timesteps", SDXL, timesteps=CUSTOM)
    windows(cls, SDXL)
    flow(cls, steps=(1, 2, 7, 24, 50))
    grid(cls, {"learned": SDXL | LEARNED, "learned-noise": SDXL | LEARNED | noise, "noise-cosine-sample": SDXL | SAMPLE | COSINE | noise},
         steps=(1, 2, 7, 24, 50))


def unipc():
    cls = "UniPCMultistepScheduler"
    last = {"final_sigmas_type": "sigma_min"}
    grid(cls, {
        "linspace": LINSPACE,
        "leading": LEADING,
        "trailing": TRAILING,
        "v": LEADING | V,
        "sample": LEADING | SAMPLE,
        "order-1": LEADING | {"solver_order": 1},
        "order-3": LEADING | {"solver_order": 3},
        "bh1": LEADING | last | {"solver_type": "bh1"},
        "bh1-order-3": LEADING | last | {"solver_type": "bh1", "solver_order": 3},
        "noise": LEADING | last | {"predict_x0": False},
        "noise-v": LEADING | last | V | {"predict_x0": False},
        "not-lower-order": LEADING | last | {"lower_order_final": False, "solver_order": 3},
        "disable-corrector": LEADING | {"disable_corrector": [0, 2]},
        "threshold": LEADING | {"thresholding": True, "sample_max_value": 1.6},
        "zero-snr-v": TRAILING | V | ZERO_SNR,
        "karras-sigma-min": LEADING | last | KARRAS,
        "karras-limits": LEADING | KARRAS | {"sigma_min": 0.03, "sigma_max": 12.0},
    } | spaced(LEADING))
    windows(cls, LEADING)
    flow(cls)
    shifted = SDXL | FLOW | {"flow_shift": 3.0}
    grid(cls, {
        "flow-karras": shifted | KARRAS,
        "flow-order-3": shifted | {"solver_order": 3},
        "flow-sigma-min": shifted | last,
    })
    add(cls, "noise-threshold", LEADING | last | THRESHOLD | {"predict_x0": False}, 7)
    grid(cls, {"noise-cosine-v": TRAILING | V | COSINE | last | {"predict_x0": False}})
    # Where the second step begins at an alpha of 1/1,000 and less, it multiplies the rounding of the corrected sample.
    for n in (5, 20):
        add(cls, f"noise-cosine-karras-{n}", LEADING | KARRAS | V | COSINE | last | {"predict_x0": False}, n)
        add(cls, f"noise-zero-snr-karras-{n}", LEADING | KARRAS | SAMPLE | ZERO_SNR | last | {"predict_x0": False}, n)
    add(cls, "flow-terminal", shifted | {"shift_terminal": 0.1}, 7)
    for name, inner in {"dpm": "DPMSolverMultistepScheduler", "single": "DPMSolverSinglestepScheduler", "deis": "DEISMultistepScheduler"}.items():
        for n in (2, 7, 25):
            add(cls, f"solver-p-{name}-{n}", LINSPACE | {"solver_p": inner}, n)
    add(cls, "solver-p-order-3-v", LEADING | V | {"solver_p": "DPMSolverMultistepScheduler", "solver_order": 3}, 12)


def deis():
    cls = "DEISMultistepScheduler"
    grid(cls, {
        "linspace": LINSPACE,
        "leading": LEADING,
        "trailing": TRAILING,
        "v": LEADING | V,
        "sample": LEADING | SAMPLE,
        "order-1": LEADING | {"solver_order": 1},
        "order-3": LEADING | {"solver_order": 3},
        "not-lower-order": LEADING | {"lower_order_final": False},
        "threshold": LEADING | {"thresholding": True, "sample_max_value": 1.6},
    } | spaced(LEADING))
    windows(cls, LEADING)
    # Not in 2 steps: the first then goes from level 0.999 to 0.5, and the rounding of the predicted noise to float32 is
    # by itself 2.5e-5 of the result.
    steps = (1, 4, 7, 25, 50)
    flow(cls, steps=steps)
    grid(cls, {"flow-order-3": SDXL | FLOW | {"flow_shift": 3.0, "solver_order": 3}}, steps)
    grid(cls, {
        "cosine-karras-sample-threshold": LEADING | KARRAS | COSINE | SAMPLE | THRESHOLD,
        "cosine-v-order-3": TRAILING | V | COSINE | {"solver_order": 3},
    })


def sa():
    cls = "SASolverScheduler"
    grid(cls, {
        "linspace": LINSPACE,
        "leading": LEADING,
        "trailing": TRAILING,
        "v": LEADING | V,
        "sample": LEADING | SAMPLE,
        "orders-1-1": LEADING | {"predictor_order": 1, "corrector_order": 1},
        "orders-3-4": LEADING | {"predictor_order": 3, "corrector_order": 4},
        "orders-2-3": LEADING | {"predictor_order": 2, "corrector_order": 3},
        "noise": LEADING | {"algorithm_type": "noise_prediction"},
        "noise-orders-3-3": LEADING | {"algorithm_type": "noise_prediction", "predictor_order": 3, "corrector_order": 3},
        "tau": LEADING | {"tau": 0.4, "tau_start": 999.0, "tau_end": 0.0},
        "tau-0": LEADING | {"tau": 0.0},
        "not-lower-order": LEADING | {"lower_order_final": False},
        "threshold": LEADING | {"thresholding": True, "sample_max_value": 1.6},
    } | spaced(LEADING))
    windows(cls, LEADING)
    flow(cls)
    grid(cls, {"learned": LEADING | LEARNED, "learned-range-noise": LEADING | LEARNED_RANGE | {"algorithm_type": "noise_prediction"}})
    grid(cls, {"cosine-noise-v": TRAILING | V | COSINE | {"algorithm_type": "noise_prediction"}})
    for n in (5, 20):
        add(cls, f"cosine-noise-karras-{n}", LEADING | KARRAS | V | COSINE | {"algorithm_type": "noise_prediction"}, n)
    for name, config in spaced(LEADING).items():
        add(cls, f"{name}-strength", config, 20, strength=0.4)


def ddim():
    cls = "DDIMScheduler"
    free = {"clip_sample": False}
    grid(cls, {
        "leading": LEADING | free,
        "linspace": LINSPACE | free,
        "trailing": TRAILING | free,
        "defaults": {},
        "v": LEADING | V | free | {"set_alpha_to_one": False},
        "sample": LEADING | SAMPLE | free,
        "eta": LEADING | free | {"eta": 0.7},
        "eta-1-clipped-output": LEADING | {"eta": 1.0, "use_clipped_model_output": True},
        "threshold": LEADING | {"thresholding": True, "sample_max_value": 1.6},
        "zero-snr-v": TRAILING | V | ZERO_SNR | free,
    })
    windows(cls, LEADING | free)


def ddpm():
    cls = "DDPMScheduler"
    free = {"clip_sample": False}
    grid(cls, {
        "leading": LEADING | free,
        "linspace": LINSPACE | free,
        "trailing": TRAILING | free,
        "defaults": {},
        "v": LEADING | V | free,
        "sample": LEADING | SAMPLE | free,
        "small-log": LEADING | free | {"variance_type": "fixed_small_log"},
        "large": LEADING | free | {"variance_type": "fixed_large"},
        "sigmoid": LINSPACE | free | {"beta_schedule": "sigmoid"},
        "laplace": LINSPACE | {"beta_schedule": "laplace"},
        "threshold": LEADING | {"thresholding": True, "sample_max_value": 1.6},
        "zero-snr-v": TRAILING | V | ZERO_SNR | free,
    })
    add(cls, "timesteps", LEADING | free, timesteps=CUSTOM)
    windows(cls, LEADING | free)
    grid(cls, {
        "learned": LEADING | free | LEARNED,
        "learned-v": TRAILING | free | V | LEARNED,
        "learned-range": LEADING | free | LEARNED_RANGE,
        "learned-range-clip": LINSPACE | LEARNED_RANGE | {"clip_sample_range": 1.5},
    })


def pndm():
    cls = "PNDMScheduler"
    skip = {"skip_prk_steps": True}
    grid(cls, {
        "leading": LEADING | skip,
        "linspace": LINSPACE | skip,
        "trailing": TRAILING | skip,
        "v": LEADING | skip | V,
        "alpha-one": LEADING | skip | {"set_alpha_to_one": True},
    })
    for name, config in {"prk": LEADING, "prk-v": TRAILING | V, "prk-alpha-one": LINSPACE | {"set_alpha_to_one": True}}.items():
        for n in (4, 7, 25):
            add(cls, f"{name}-{n}", config, n)
    windows(cls, LEADING | skip)


def distilled(cls):
    grid(cls, {
        "leading": LEADING,
        "v": LEADING | V,
        "sample": LEADING | SAMPLE,
        "original-100": SDXL | {"original_inference_steps": 100},
        "clip": SDXL | {"clip_sample": True, "clip_sample_range": 1.2},
        "threshold": SDXL | {"thresholding": True, "sample_max_value": 1.6},
    }, steps=(1, 2, 4, 7, 25, 50))
    add(cls, "scaling", SDXL | {"timestep_scaling": 3.0}, 4)
    add(cls, "timesteps", SDXL, timesteps=CUSTOM)
    windows(cls, SDXL)
    if cls == "TCDScheduler":
        add(cls, "eta-0", SDXL | {"eta": 0.0}, 4)
        add(cls, "eta-1", SDXL | {"eta": 1.0}, 7)


def ipndm():
    grid("IPNDMScheduler", {"plain": {}})
    add("IPNDMScheduler", "strength", {}, 20, strength=0.35)


def edm(cls):
    configs = {
        "karras": {},
        "exponential": {"sigma_schedule": "exponential"},
        "v": V,
        "sigma-min": {"final_sigmas_type": "sigma_min"},
        "limits": {"sigma_min": 0.01, "sigma_max": 30.0, "rho": 5.0, "sigma_data": 1.0},
    }
    if cls == "EDMEulerScheduler":
        configs["churn"] = {"s_churn": 6.0, "s_tmin": 0.05, "s_tmax": 40.0, "s_noise": 1.003}
    else:
        configs |= {
            "order-1": {"solver_order": 1},
            "order-3": {"solver_order": 3},
            "heun": {"solver_type": "heun"},
            "sde": {"algorithm_type": "sde-dpmsolver++"},
            "sde-heun": {"algorithm_type": "sde-dpmsolver++", "solver_type": "heun"},
            "sde-sigma-min": {"algorithm_type": "sde-dpmsolver++", "final_sigmas_type": "sigma_min"},
            "euler-at-final": {"euler_at_final": True, "final_sigmas_type": "sigma_min"},
            "threshold": {"thresholding": True, "sample_max_value": 1.6},
        }
    grid(cls, configs)
    add(cls, "strength", {}, 20, strength=0.35)


def families():
    if not _families:
        euler()
        euler_ancestral()
        heun()
        kdpm2("KDPM2DiscreteScheduler")
        kdpm2("KDPM2AncestralDiscreteScheduler")
        lms()
        dpm_sde()
        dpm_multistep()
        dpm_singlestep()
        unipc()
        deis()
        sa()
        ddim()
        ddpm()
        pndm()
        ipndm()
        distilled("LCMScheduler")
        distilled("TCDScheduler")
        edm("EDMEulerScheduler")
        edm("EDMDPMSolverMultistepScheduler")
    return _families
