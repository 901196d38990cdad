"""Roots, logarithms and exponentials of float32 tensors, correctly rounded.

torch takes them from vector libraries that are off by one unit in the last place for some arguments: which ones
depends on the processor, on the number of values and on the build. Differences of noise levels magnify that unit
(KDPM2Ancestral's lower level by up to 3 %). Computed in float64 and rounded once, goldens are the same on every machine.
"""
import numpy as np
import torch
from torch.overrides import TorchFunctionMode

FUNCTIONS = {"sqrt": np.sqrt, "log": np.log, "exp": np.exp, "expm1": np.expm1}


class Correct(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ("pow", "__pow__") and len(args) == 2 and isinstance(args[1], float) and args[1] == 0.5:
            name = "sqrt"
        f = FUNCTIONS.get(name)
        x = args[0] if args else None
        if f is None or kwargs or not isinstance(x, torch.Tensor) or x.dtype != torch.float32:
            return func(*args, **kwargs)
        with np.errstate(all="ignore"):  # log of 0 is a level like any other
            return torch.from_numpy(np.asarray(f(x.numpy().astype(np.float64)), dtype=np.float32))
