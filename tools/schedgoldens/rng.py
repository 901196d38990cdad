"""Writes runtime/rng/testdata/torch_cpu.json: what torch's CPU generator yields for some seeds.

    python tools/schedgoldens/rng.py        (from the repository's root; versions in requirements.txt)
"""
import json
import pathlib

import torch

torch.set_num_threads(1)
OUT = pathlib.Path(__file__).parents[2] / "runtime/rng/testdata/torch_cpu.json"
SEEDS = [0, 1, 42, 2**32 - 1, 2**32 + 7, 2**63 - 1, 2**64 - 3]


def gen(seed):
    return torch.Generator("cpu").manual_seed(seed if seed < 2**63 else seed - 2**64)


def main():
    cases = []
    for seed in SEEDS:
        g = gen(seed)
        # rand keeps the low 24 bits of each 32-bit draw (float32) or 53 of each 64-bit draw (float64), so
        # that they can be read back; 700 draws cross the first twist of the state.
        case = {
            "seed": str(seed),
            "bits24": [int(x * 2**24) for x in torch.rand(700, generator=gen(seed), dtype=torch.float32).tolist()][690:],
            "bits53": [str(int(x * 2**53)) for x in torch.rand(8, generator=gen(seed), dtype=torch.float64).tolist()],
            "normal": {},
            "normal64": {},
        }
        for n in [1, 2, 5, 15, 16, 17, 31, 32, 40, 100]:
            case["normal"][str(n)] = torch.randn(n, generator=gen(seed)).tolist()
        for n in [3, 16, 21]:
            case["normal64"][str(n)] = torch.randn(n, generator=gen(seed), dtype=torch.float64).tolist()
        # one generator used in turn: the cached second value of the small path survives larger calls
        g = gen(seed)
        case["mixed"] = [torch.randn(n, generator=g).tolist() for n in [3, 20, 2, 16, 1, 7]]
        big = torch.randn(4 * 128 * 128, generator=gen(seed))
        case["big"] = {"head": big[:8].tolist(), "tail": big[-8:].tolist(), "sum": big.double().sum().item(),
                       "sumsq": (big.double() ** 2).sum().item()}
        cases.append(case)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"torch": torch.__version__, "cases": cases}) + "\n")


main()
