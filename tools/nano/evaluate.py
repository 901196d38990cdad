"""Make the held-out pictures with diffusers, for the Go checker to score.

    python evaluate.py prompts ../../models/nano/heldout.json
    python evaluate.py pictures ../../models/nano/nano-base.safetensors.gz --out PICTURES
    go run ./tools/nano/score PICTURES
    python evaluate.py sheet PICTURES ../../models/nano/contact-sheet.png
"""

import argparse
import json
import os
import pathlib
import random
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded: waiting threads leave the core to others

import numpy as np
import torch
from PIL import Image, ImageDraw

import data

COUNT = 200


def prompts():
    """200 prompts over the held-out combinations: 80 plain, 40 with a size, 40 with a position,
    20 small ones with a position, 20 in the center (about half of them big)."""
    rng = random.Random(4711)
    combos = data.heldout()
    rng.shuffle(combos)
    sides = ["left", "right", "top", "bottom"]
    out = []
    for i in range(COUNT):
        colour, shape, background = combos[i % len(combos)]
        size, position = [("", ""), ("", ""), (rng.choice(["small", "big"]), ""), ("", rng.choice(sides)),
                          ("small", rng.choice(sides)) if i % 2 else (rng.choice(["", "big"]), "center")][i // 2 % 5]
        out.append(dict(prompt=data.caption(colour, shape, background, size, position), seed=1000 + i))
    return out


def pictures(a):
    import to_diffusers

    dtype = {"f16": torch.float16, "f32": torch.float32, "bf16": torch.bfloat16}[a.dtype]
    pipe = to_diffusers.pipeline(a.file, a.tokenizers, dtype)
    todo = json.loads(a.prompts.read_text())[: a.count]
    a.out.mkdir(parents=True, exist_ok=True)
    start = time.time()
    for k in range(0, len(todo), a.batch):
        part = todo[k:k + a.batch]
        # Each picture's noise comes from its own generator, in F32 whatever the weights are.
        noise = torch.cat([torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(p["seed"])) for p in part])
        out = pipe([p["prompt"] for p in part], latents=noise.to(dtype), height=128, width=128, num_inference_steps=a.steps,
                   guidance_scale=a.guidance, output_type="np").images
        for n, x in enumerate(out):
            Image.fromarray((x * 255).round().astype(np.uint8)).save(a.out / f"{k + n:03d}.png")
    print(f"{len(todo)} pictures in {time.time() - start:.0f} s")


def sheet(a):
    """The first pictures with their prompts below them."""
    todo = json.loads(a.prompts.read_text())[: a.count]
    cols, cell, text = 8, data.RESOLUTION + 4, 26
    rows = (len(todo) + cols - 1) // cols
    out = Image.new("RGB", (cols * cell, rows * (cell + text)), (50, 50, 50))
    draw = ImageDraw.Draw(out)
    for i, p in enumerate(todo):
        x, y = i % cols * cell + 2, i // cols * (cell + text) + 2
        out.paste(Image.open(a.pictures / f"{i:03d}.png"), (x, y))
        words = p["prompt"].removesuffix(" background").split()
        line = ""
        while words and len(line) + len(words[0]) < 23:
            line += words.pop(0) + " "
        draw.text((x, y + 129), line, fill=(255, 255, 255))
        draw.text((x, y + 140), " ".join(words), fill=(255, 255, 255))
    out.quantize(128, dither=Image.Dither.NONE).save(a.png, optimize=True)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="command", required=True)
    q = sub.add_parser("prompts")
    q.add_argument("json", type=pathlib.Path)
    here = pathlib.Path(__file__).parent
    heldout = here.parent.parent / "models" / "nano" / "heldout.json"
    q = sub.add_parser("pictures")
    q.add_argument("file")
    q.add_argument("--out", type=pathlib.Path, required=True)
    q.add_argument("--tokenizers", type=pathlib.Path, required=True, help="folder for the tokenizers; made if absent")
    q.add_argument("--dtype", choices=["f16", "f32", "bf16"], default="f32", help="arithmetic; the weights are F16 in the file")
    q.add_argument("--steps", type=int, default=20)
    q.add_argument("--guidance", type=float, default=5.0)
    q.add_argument("--batch", type=int, default=20)
    q.add_argument("--prompts", type=pathlib.Path, default=heldout)
    q.add_argument("--count", type=int, default=COUNT)
    q = sub.add_parser("sheet")
    q.add_argument("pictures", type=pathlib.Path)
    q.add_argument("png", type=pathlib.Path)
    q.add_argument("--prompts", type=pathlib.Path, default=heldout)
    q.add_argument("--count", type=int, default=64)
    a = p.parse_args()
    if a.command == "prompts":
        a.json.write_text("[\n" + ",\n".join("  " + json.dumps(x) for x in prompts()) + "\n]\n")
    else:
        {"pictures": pictures, "sheet": sheet}[a.command](a)
