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
import subprocess
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
    import lora_file
    import to_diffusers

    dtype = {"f16": torch.float16, "f32": torch.float32, "bf16": torch.bfloat16}[a.dtype]
    pipe = to_diffusers.pipeline(a.file, a.tokenizers, dtype)
    if a.lora:
        lora_file.apply(a.lora, pipe.unet, a.lora_weight)
    refiner = to_diffusers.refiner(a.refiner, pipe, dtype) if a.refiner else None
    todo = json.loads(a.prompts.read_text())[: a.count]
    a.out.mkdir(parents=True, exist_ok=True)
    start = time.time()
    for k in range(0, len(todo), a.batch):
        part = todo[k:k + a.batch]
        # Each picture's noise comes from its own generator, in F32 whatever the weights are.
        noise = torch.cat([torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(p["seed"])) for p in part])
        texts = [p["prompt"] for p in part]
        common = dict(num_inference_steps=a.steps, guidance_scale=a.guidance)
        size = dict(latents=noise.to(dtype), height=128, width=128)
        if a.refiner:
            latents = pipe(texts, denoising_end=a.hand_off, output_type="latent", **size, **common).images
            out = refiner(texts, image=latents, denoising_start=a.hand_off, output_type="np", **common).images
        else:
            out = pipe(texts, output_type="np", **size, **common).images
        save(out, a.out, k)
    print(f"{len(todo)} pictures in {time.time() - start:.0f} s")


def save(pictures, folder, first):
    for n, x in enumerate(pictures):
        Image.fromarray((x * 255).round().astype(np.uint8)).save(folder / f"{first + n:03d}.png")


def canny(a, scenes):
    """Edges [N, 1, R, R] that `daguerre control preprocess` finds in the drawn shapes, white on black."""
    pictures = data.render([s | dict(colour="white", background="black") for s in scenes], 1)
    out = []
    for i, x in enumerate(pictures):
        drawn, found = a.out / f"{i:03d}-drawn.png", a.out / f"{i:03d}-edges.png"
        Image.fromarray(x.permute(1, 2, 0).numpy()).save(drawn)
        subprocess.run([a.canny, "control", "preprocess", drawn, "-p", "canny", "--overwrite", "-o", found], check=True, stdout=subprocess.DEVNULL)
        out.append(torch.from_numpy(np.array(Image.open(found).convert("L"))))
    return torch.stack(out)[:, None]


def controlled(a):
    """Pictures by the ControlNet: the prompts' shapes in random places and sizes, drawn as edges (NNN-edges.png). Every other
    prompt has a place word, which the edges contradict four times in five. places.json has the prompts and the places."""
    import to_diffusers
    import train_controlnet
    from diffusers import MultiControlNetModel

    base = to_diffusers.pipeline(a.file, a.tokenizers)
    pipe = to_diffusers.controlnet(a.controlnet, base)
    rng, combos = random.Random(815), data.heldout()
    rng.shuffle(combos)
    scenes = []
    for i, (colour, shape, background) in enumerate(combos[: a.count]):
        s = dict(colour=colour, shape=shape, background=background)
        train_controlnet.anywhere(s, rng)
        s["caption"] = data.caption(colour, shape, background, "", rng.choice(list(data.POSITIONS)) if i % 2 else "")
        scenes.append(s)
    a.out.mkdir(parents=True, exist_ok=True)
    hints = canny(a, scenes) if a.canny else train_controlnet.edges(scenes)
    for i, h in enumerate(hints):
        Image.fromarray(h[0].numpy()).save(a.out / f"{i:03d}-edges.png")
    how = dict(controlnet_conditioning_scale=a.scale)
    if a.two:  # the same net and picture twice
        pipe = type(pipe).from_pipe(pipe, controlnet=MultiControlNetModel([pipe.controlnet] * 2))
        pipe.set_progress_bar_config(disable=True)
        how = dict(controlnet_conditioning_scale=[0.7, 0.5], control_guidance_start=[0.0, 0.2], control_guidance_end=[0.6, 1.0])
    (a.out / "places.json").write_text(json.dumps([dict(prompt=s["caption"], x=s["cx"], y=s["cy"], radius=s["radius"]) for s in scenes]))
    for k in range(0, len(scenes), a.batch):
        part = scenes[k:k + a.batch]
        noise = torch.cat([torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1000 + k + n)) for n in range(len(part))])
        image = hints[k:k + a.batch].expand(-1, 3, -1, -1) / 255.0
        out = pipe([s["caption"] for s in part], image=[image] * 2 if a.two else image, latents=noise, height=128, width=128,
                   num_inference_steps=a.steps, guidance_scale=a.guidance, output_type="np", **how).images
        save(out, a.out, k)


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
    q.add_argument("--lora", type=pathlib.Path, help="LoRA file, added to the UNet's weights")
    q.add_argument("--lora-weight", type=float, default=1.0)
    q.add_argument("--refiner", type=pathlib.Path, help="refiner file that takes over at --hand-off")
    q.add_argument("--hand-off", type=float, default=0.8, help="part of the steps that the base makes")
    q.add_argument("--prompts", type=pathlib.Path, default=heldout)
    q.add_argument("--count", type=int, default=COUNT)
    q = sub.add_parser("controlled")
    q.add_argument("file")
    q.add_argument("controlnet", type=pathlib.Path)
    q.add_argument("--out", type=pathlib.Path, required=True)
    q.add_argument("--tokenizers", type=pathlib.Path, required=True)
    q.add_argument("--steps", type=int, default=20)
    q.add_argument("--guidance", type=float, default=5.0)
    q.add_argument("--scale", type=float, default=1.0, help="weight of the ControlNet")
    q.add_argument("--two", action="store_true", help="two nets, of weights 0.7 and 0.5 over 0 to 0.6 and 0.2 to 1 of the steps")
    q.add_argument("--canny", metavar="DAGUERRE", help="the program that finds the edges; without it they are drawn as in training")
    q.add_argument("--batch", type=int, default=25)
    q.add_argument("--count", type=int, default=50)
    q = sub.add_parser("sheet")
    q.add_argument("pictures", type=pathlib.Path)
    q.add_argument("png", type=pathlib.Path)
    q.add_argument("--prompts", type=pathlib.Path, default=heldout)
    q.add_argument("--count", type=int, default=64)
    a = p.parse_args()
    if a.command == "prompts":
        a.json.write_text("[\n" + ",\n".join("  " + json.dumps(x) for x in prompts()) + "\n]\n")
    else:
        {"pictures": pictures, "controlled": controlled, "sheet": sheet}[a.command](a)
