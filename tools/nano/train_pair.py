"""Train the finished nano base on pictures of two shapes beside those of one. UNet and text encoders learn; the VAE stays as it is.

    python train_pair.py --out RUN/pair --tokenizers RUN/tok --steps 1500 --decay 500
    python train_pair.py prompts                                          # 100 held-out prompts, as JSON

A caption names both shapes and their places, in either order:

    a COLOUR SHAPE on the left and a COLOUR SHAPE on the right on a COLOUR background

or "at the top" and "at the bottom". Combinations of colour, shape and background that are held out never occur, in neither shape; the
prompts of the figures have two of them each. Writes RUN/pair/nano-pair.safetensors.gz, with the base's layout and names.
"""

import argparse
import gzip
import json
import random
import sys

import torch

import arch
import data
import export
import finetune
import singlefile
import to_diffusers
import tokenizer
import trainer
import train_unet
from finetune import Base, Noise

RADIUS = (21.0, 24.0)
AXES = [("left", "right"), ("top", "bottom")]
COUNT = 100


def caption(shapes, background, swap):
    """shapes: [(colour, shape, place)] of both."""
    parts = [data.article(f"{c} {s}") + " " + data.POSITION_PHRASE[p] for c, s, p in (reversed(shapes) if swap else shapes)]
    return " and ".join(parts) + " on " + data.article(background) + " background"


class Sampler:
    """Scenes of two shapes: (two dicts as data.render takes them, the caption)."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        held = set(data.heldout())
        self.by_background = {b: [c for c in data.all_combos() if c[2] == b and c not in held] for b in data.COLOURS}

    def scene(self):
        rng = self.rng
        background = rng.choice(data.COLOURS)
        places = rng.choice(AXES)
        both, named = [], []
        for place in places:
            colour, shape, _ = rng.choice(self.by_background[background])
            dx, dy = data.POSITIONS[place]
            both.append(dict(colour=colour, shape=shape, background=background, radius=rng.uniform(*RADIUS),
                             cx=64 + 30 * dx + rng.uniform(-2, 2), cy=64 + 30 * dy + rng.uniform(-2, 2)))
            named.append((colour, shape, place))
        return both, caption(named, background, rng.random() < 0.5)


def render(scenes, seed):
    """uint8 [B, 3, R, R] of pairs of scenes: the second shape is drawn over a picture of the first. They do not touch."""
    first = data.render([s[0] for s in scenes], seed)
    second = data.render([s[1] for s in scenes], seed)  # the same background, to the bit
    field = lambda k: torch.tensor([s[1][k] for s in scenes], dtype=torch.float32)
    shape = torch.tensor([data.SHAPES.index(s[1]["shape"]) for s in scenes])
    mask = data.coverage(shape, field("cx"), field("cy"), field("radius"), grow=1.0)[:, None] > 0
    return torch.where(mask, second, first)


def prompts():
    """Held-out prompts: two held-out combinations with one background."""
    rng = random.Random(4712)
    by = {}
    for c, s, b in data.heldout():
        by.setdefault(b, []).append((c, s))
    out = []
    for i in range(COUNT):
        background = rng.choice(sorted(b for b in by if len(by[b]) > 1))
        pair = rng.sample(by[background], 2)
        places = AXES[i % 2]
        named = [(c, s, p) for (c, s), p in zip(pair, places)]
        out.append(dict(prompt=caption(named, background, rng.random() < 0.5), seed=3000 + i))
    return out


def drawn(base, args):
    """Latents and captions of two shapes and, for every two of them, one of one shape."""
    two, one = Sampler(args.seed), data.Sampler(args.seed)
    z, captions = [], []
    for k in range(0, args.examples, 64):
        scenes = [two.scene() for _ in range(64)]
        z.append(base.latents(render([both for both, _ in scenes], args.seed * 1000 + k)))
        captions += [c for _, c in scenes]
        if k % 128:
            pictures, singles = one.batch(64)
            z.append(base.latents(pictures))
            captions += [s["caption"] for s in singles]
    return torch.cat(z), captions


class Texts:
    """Captions as compact token ids, which the trained tables have; unknown words are 0."""

    def __init__(self, tokenizers, captions):
        one, two = tokenizer.encode(tokenizer.load(tokenizers), captions + [""])
        self.used = sorted(set(one.unique().tolist()) | set(two.unique().tolist()))
        table = torch.zeros(arch.VOCAB, dtype=torch.long)
        table[torch.tensor(self.used)] = torch.arange(1, len(self.used) + 1)
        self.one, self.two = table[one], table[two]


def begin(texts):
    """The base's UNet and text encoders with compact token tables; rows of new words are random and small."""
    model = train_unet.build(len(texts.used) + 1)
    modules, _ = to_diffusers.components(finetune.BASE)
    model["unet"].load_state_dict(modules["unet"].state_dict())
    for name, full in (("one", modules["text_encoder"]), ("two", modules["text_encoder_2"])):
        state = full.state_dict()
        key = next(k for k in state if k.endswith("token_embedding.weight"))
        rows = state[key][torch.tensor(texts.used)]
        new = rows.abs().sum(1) == 0
        rows[new] = torch.randn(int(new.sum()), rows.shape[1], generator=torch.Generator().manual_seed(1)) * rows[~new].std()
        state[key] = torch.cat([torch.zeros(1, rows.shape[1]), rows])
        missing, unexpected = model[name].load_state_dict(state, strict=False)
        assert not [k for k in missing + unexpected if not k.endswith("position_ids")], (missing, unexpected)
    return model


def main(rank, args, shared, barrier):
    base = Base(args.tokenizers)
    z, captions = finetune.cached(args.out / "examples.pt", (args.seed, args.examples), lambda: drawn(base, args))
    texts = Texts(args.tokenizers, captions)
    model = begin(texts)
    run = trainer.Run(rank, args, shared, barrier, model, train_unet.param_groups(model), args.out / "pair.ckpt")
    noises = Noise()
    time_ids = torch.tensor(finetune.SIZE_IDS).expand(args.batch, 6)
    run.say(f"{len(z)} pictures, {len(texts.used)} tokens")

    def step(g):
        ix = torch.randint(len(z), (args.batch,), generator=g)
        dice = torch.rand(args.batch, generator=g)
        ix_text = ix.where(dice >= 0.05, len(captions))
        keep = ((dice < 0.05) | (dice >= 0.10)).float()[:, None]
        xt, t, noise = noises.add(z[ix], g)
        with trainer.autocast():
            h1 = train_unet.textmodel.penultimate(model["one"], texts.one[ix_text])
            h2, pooled = train_unet.textmodel.penultimate_and_pooled(model["two"], texts.two[ix_text])
            context = torch.cat([h1, h2], -1) * keep[:, :, None]
            eps = model["unet"](xt, t, context, added_cond_kwargs=dict(text_embeds=pooled * keep, time_ids=time_ids)).sample.float()
        return noises.loss(eps, noise, t)

    finetune.loop(run, args, step)
    if rank == 0:
        write(run.ema.state_dict(), texts.used, args.out / "nano-pair.safetensors.gz")


def write(ema, used, path):
    tensors, meta = to_diffusers.read(finetune.BASE)
    part = lambda p: {k[len(p):]: v for k, v in ema.items() if k.startswith(p)}
    vae = singlefile.to_diffusers(tensors)["vae"]
    single = singlefile.to_single(part("unet."), vae, export.widen(part("one."), used), export.widen(part("two."), used))
    assert single.keys() == tensors.keys()
    meta |= {"modelspec.title": "Daguerre nano base, two shapes"}
    raw = export.save({k: v.to(torch.float16) for k, v in sorted(single.items())}, meta)
    path.write_bytes(gzip.compress(raw, 9, mtime=0))
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    if sys.argv[1:] == ["prompts"]:
        print("[\n" + ",\n".join("  " + json.dumps(p) for p in prompts()) + "\n]")
        sys.exit()
    p = finetune.add_arguments(trainer.add_arguments(argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter), seed=51, procs=1))
    p.add_argument("--lr", type=float, default=7e-4)
    p.add_argument("--ema", type=float, default=0.998)
    p.set_defaults(batch=64, examples=16384)
    trainer.launch(main, p.parse_args(), 1)
