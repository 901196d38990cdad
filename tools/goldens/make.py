"""Write testdata/goldens from the nano model: see README.md.

    python tools/goldens/make.py [--model FILE] [--out FOLDER] [--tokenizers FOLDER] [--only PART]...
"""

import argparse
import gzip
import hashlib
import pathlib
import tempfile

import store  # first: it puts tools/nano on the path
import torch

import algorithms
import control
import family
import fewer
import guidance
import inpaint9
import ipadapter
import ipmixed
import lora
import masks
import networks
import noise
import perturb
import prompts
import refiner
import regions
import runs
import t2i
import text
import tiles
import to_diffusers
import variants
import xs

def detector(out, pipe):
    import detector as part  # it needs packages of its own

    part.make(out, pipe)


PARTS = {
    "noise": lambda out, pipe: noise.make(out),
    "text": text.make,
    "unet": lambda out, pipe: networks.unet(out, pipe, text.ENCODED),
    "vae": networks.vae,
    "plain_vae": networks.plain_vae,
    "runs": runs.make,
    "variants": variants.make,
    "inpaint9": lambda out, pipe: inpaint9.make(out, pipe, *runs.inputs(out)),
    "masks": masks.make,
    "prompts": prompts.make,
    "regions": regions.make,
    "guidance": guidance.make,
    "perturb": perturb.make,
    "tiles": tiles.make,
    "refiner": refiner.make,
    "control": control.make,
    "t2i": t2i.make,
    "xs": xs.make,
    "ip_adapter": ipadapter.make,
    "ip_mixed": ipmixed.make,
    "family": family.make,
    "fewer": fewer.make,
    "lora": lora.make,
    "algorithms": algorithms.make,
    "detector": detector,
}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", type=pathlib.Path, default=store.MODEL)
    p.add_argument("--out", type=pathlib.Path, default=store.ROOT / "testdata" / "goldens")
    p.add_argument("--tokenizers", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "daguerre-tokenizers")
    p.add_argument("--only", action="append", choices=PARTS, help="write these parts and leave the others' files as they are")
    a = p.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    raw = a.model.read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    out = store.Store(a.out, keep=bool(a.only))
    pipe = to_diffusers.pipeline(a.model, a.tokenizers)
    with torch.no_grad():
        for name in a.only or PARTS:
            PARTS[name](out, pipe)
    out.finish(hashlib.sha256(raw).hexdigest())
    print(f"{len(out.files)} files, {sum(f.stat().st_size for f in a.out.iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
