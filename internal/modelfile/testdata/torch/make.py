"""Writes the PyTorch files of this folder; they are committed, tests need no Python.

    python make.py        (torch 2.x; warnings about TorchScript may be ignored)
"""

import collections
import os
import pathlib

import torch

here = pathlib.Path(__file__).parent
grid = torch.arange(6).reshape(2, 3) / 4 - 0.5
tensors = collections.OrderedDict()
for name, dtype in dict(a=torch.float32, b=torch.float16, c=torch.bfloat16, d=torch.float64).items():
    tensors[f"x.{name}"] = grid.to(dtype)
tensors["x.i"] = torch.arange(5)
tensors["x.t"] = torch.arange(6.0).reshape(2, 3).t()  # not contiguous
tensors["x.v"] = torch.arange(10.0)[3:7]  # a view into a larger storage
tensors["x.p"] = torch.nn.Parameter(torch.ones(2))
tensors["x.s"] = torch.tensor(3.5)
old = dict(tensors)
tensors["x.f8"] = torch.tensor([1.0, -2.0, 448.0]).to(torch.float8_e4m3fn)

torch.save({"state_dict": tensors, "epoch": 3, "name": "n"}, here / "ck.ckpt")
torch.save(old, here / "legacy.pt", _use_new_zipfile_serialization=False)
torch.save(
    {
        "string_to_token": {"*": torch.tensor(265)},
        "string_to_param": torch.nn.ParameterDict({"*": torch.nn.Parameter(torch.full((2, 64), 0.25))}),
        "name": "hat",
        "step": 4,
    },
    here / "ti.pt",
)

linear = torch.nn.Linear(2, 2)
torch.save(linear.state_dict(), here / "lin.pth")
torch.save(linear, here / "module.pth")
torch.jit.script(linear).save(str(here / "ts.pt"))
optimizer = torch.optim.Adam(linear.parameters())
linear(torch.ones(1, 2)).sum().backward()
optimizer.step()
torch.save({"state_dict": linear.state_dict(), "optimizer": optimizer.state_dict()}, here / "opt.pt")


class Evil:
    """What an attack looks like: unpickling would run a command (a harmless one here)."""

    def __reduce__(self):
        return os.system, ("true",)


torch.save({"a": Evil()}, here / "evil.pt")
torch.save({"a": Evil()}, here / "evil_legacy.pt", _use_new_zipfile_serialization=False)
