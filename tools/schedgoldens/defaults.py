"""Writes runtime/scheduler/testdata/defaults.json: the options of diffusers' schedulers and their defaults.

    python tools/schedgoldens/defaults.py     (from anywhere; versions in requirements.txt)
"""
import inspect
import json
import math
import pathlib

import diffusers

import cases
import goldens

OUT = pathlib.Path(__file__).parents[2] / "runtime/scheduler/testdata/defaults.json"


def plain(v):
    if isinstance(v, float) and math.isinf(v):
        return "inf" if v > 0 else "-inf"
    return v


def main():
    table = {}
    for name in cases.families():
        params = inspect.signature(goldens.scheduler_class(name).__init__).parameters
        table[name] = {k: plain(p.default) for k, p in params.items() if k not in ("self", "args", "kwargs")}
    OUT.write_text(json.dumps({"diffusers": diffusers.__version__, "schedulers": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
