"""Writes runtime/scheduler/testdata/trailing.json: the timesteps of trailing spacing for 1 to 150 of 1000, as numpy counts them.

    python tools/schedgoldens/trailing.py

A timestep of -1 that rounding adds for some counts is left out.
"""
import json
import pathlib

import numpy as np

OUT = pathlib.Path(__file__).parents[2] / "runtime/scheduler/testdata/trailing.json"


def main():
    lists = [(np.arange(1000, 0, -(1000 / n)).round() - 1).astype(int) for n in range(1, 151)]
    rows = [json.dumps([int(t) for t in ts if t >= 0], separators=(",", ":")) for ts in lists]
    OUT.write_text("[\n" + ",\n".join(rows) + "\n]\n")


if __name__ == "__main__":
    main()
