"""Write testdata/goldens from the nano model: see README.md.

    python tools/goldens/make.py [--model FILE] [--out FOLDER] [--tokenizers FOLDER]
"""

import argparse
import gzip
import hashlib
import pathlib
import tempfile

import store  # first: it puts tools/nano on the path
import torch

import inpaint9
import networks
import noise
import runs
import text
import to_diffusers


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", type=pathlib.Path, default=store.MODEL)
    p.add_argument("--out", type=pathlib.Path, default=store.ROOT / "testdata" / "goldens")
    p.add_argument("--tokenizers", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "daguerre-tokenizers")
    a = p.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    raw = a.model.read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    out = store.Store(a.out)
    pipe = to_diffusers.pipeline(a.model, a.tokenizers)
    with torch.no_grad():
        noise.make(out)
        text.make(out, pipe)
        networks.unet(out, pipe, text.ENCODED)
        networks.vae(out, pipe)
        inpaint9.make(out, pipe, *runs.make(out, pipe))
    out.finish(hashlib.sha256(raw).hexdigest())
    print(f"{len(out.files)} files, {sum(f.stat().st_size for f in a.out.iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
