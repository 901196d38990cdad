"""Train the nano image encoder: CLIP's, at the size of the nano models. It learns to tell colours, shapes and backgrounds.

    python train_image_encoder.py --out RUN/ip --steps 3000 --decay 1000

Three heads that are thrown away afterwards read the words off the embedding. Shapes lie where the data set has them, with some
more play. Writes RUN/ip/nano-image-encoder.safetensors under the names of CLIPVisionModelWithProjection.
"""

import argparse

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import arch
import data
import finetune
import trainer

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]  # CLIPImageProcessor's
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
WORDS = dict(colour=data.COLOURS, shape=data.SHAPES, background=data.COLOURS)
PLAY = 4.0  # pixels


class Pictures:
    """Masks drawn once at the encoder's size; each picture gets its colours when it is taken. Training takes no held-out combination."""

    def __init__(self, seed, count, combos=None):
        sampler = data.Sampler(seed)
        self.combos = combos or sampler.combos
        self.allowed = [torch.tensor([[data.COLOURS.index(c), data.COLOURS.index(b)] for c, s, b in self.combos if s == shape])
                        for shape in data.SHAPES]
        shapes, masks = [], []
        for k in range(0, count, 64):
            scenes = [self.about(sampler.scene(), sampler.rng) for _ in range(64)]
            field = lambda k: torch.tensor([s[k] for s in scenes], dtype=torch.float32)
            shape = torch.tensor([data.SHAPES.index(s["shape"]) for s in scenes])
            masks.append(shrink(data.coverage(shape, field("cx"), field("cy"), field("radius"))[:, None]))
            shapes.append(shape)
        self.shapes, self.masks = torch.cat(shapes), torch.cat(masks)
        self.palette = torch.tensor([data.PALETTE[c] for c in data.COLOURS], dtype=torch.float32) / 255

    @staticmethod
    def about(scene, rng):
        scene["cx"] += rng.uniform(-PLAY, PLAY)
        scene["cy"] += rng.uniform(-PLAY, PLAY)
        scene["radius"] *= rng.uniform(0.95, 1.05)
        return scene

    def take(self, n, g):
        """(pixels as the encoder is given them, words [n, 3]): softened as a VAE softens, at random."""
        ix = torch.randint(len(self.masks), (n,), generator=g)
        shape, mask = self.shapes[ix], self.masks[ix]
        pick = torch.rand(n, generator=g).tolist()
        pair = torch.stack([self.allowed[s][int(r * len(self.allowed[s]))] for s, r in zip(shape.tolist(), pick)])
        soft = F.avg_pool2d(F.pad(mask, (1, 1, 1, 1), mode="replicate"), 3, 1)
        mask = torch.lerp(mask, soft, 0.7 * torch.rand(n, 1, 1, 1, generator=g))
        colour = (self.palette[pair] + 0.015 * torch.randn(n, 2, 3, generator=g)).clamp(0, 1)[..., None, None]
        x = (colour[:, 1] + mask * (colour[:, 0] - colour[:, 1])).clamp(0, 1)
        return (x - MEAN) / STD, torch.stack([pair[:, 0], shape, pair[:, 1]], 1)


def shrink(x):
    """As CLIPImageProcessor makes pictures small."""
    return F.interpolate(x, size=(arch.IMAGE_SIZE,) * 2, mode="bicubic", antialias=True, align_corners=False)


class Reader(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = arch.make_image_encoder()
        arch.init_image_encoder(self.encoder)
        self.heads = torch.nn.ModuleDict({k: torch.nn.Linear(arch.IMAGE_DIM, len(v)) for k, v in WORDS.items()})

    def forward(self, pixels):
        e = self.encoder(pixels).image_embeds
        return [h(e) for h in self.heads.values()]


def main(rank, args, shared, barrier):
    model = Reader()
    run = trainer.Run(rank, args, shared, barrier, model, [dict(params=list(model.parameters()), weight_decay=0.05)],
                      args.out / "encoder.ckpt")
    pictures = Pictures(args.seed, args.examples)
    run.say(f"{arch.count(model.encoder)} parameters, {run.elapsed():.0f} s to prepare")
    parts = torch.zeros(3)

    def step(g):
        pixels, words = pictures.take(args.batch, g)
        losses = torch.stack([F.cross_entropy(o, words[:, i]) for i, o in enumerate(model(pixels))])
        parts.mul_(0.98).add_(0.02 * losses.detach())
        if run.step % 250 == 249:
            run.say("  colour %.3f shape %.3f background %.3f" % tuple(parts.tolist()))
        return losses.sum()

    finetune.loop(run, args, step)
    model.load_state_dict(run.ema.state_dict())
    path = args.out / "nano-image-encoder.safetensors"
    write(model.encoder, path)
    measure(model, path)


def write(encoder, path):
    full = lambda k: k if k.startswith(("vision_model.", "visual_projection.")) else "vision_model." + k
    state = {full(k): v for k, v in encoder.state_dict().items()}
    save_file({k: v.to(torch.float16).contiguous() for k, v in state.items() if not k.endswith("position_ids")}, path, metadata={
        "format": "pt", "modelspec.license": "MIT", "modelspec.title": "Daguerre nano image encoder"})
    print(path, path.stat().st_size, "bytes", flush=True)


def load(path):
    """The encoder of a file, in F32."""
    net = arch.make_image_encoder()
    missing, unexpected = net.load_state_dict({k: v.float() for k, v in load_file(path).items()}, strict=False)
    assert not unexpected and all(k.endswith("position_ids") for k in missing), (missing, unexpected)
    return net.eval().requires_grad_(False)


@torch.no_grad()
def measure(model, path):
    """The heads' hits on held-out combinations."""
    model.encoder = load(path)
    pixels, words = Pictures(999, 1024, data.heldout()).take(1024, torch.Generator().manual_seed(1))
    hits = [(o.argmax(-1) == words[:, i]).sum().item() for i, o in enumerate(model(pixels))]
    print("of 1024 pictures of held-out combinations:", ", ".join(f"{k} {n}" for k, n in zip(WORDS, hits)), flush=True)


if __name__ == "__main__":
    p = trainer.add_arguments(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter),
                              seed=51, procs=1, warmup=50)
    p.add_argument("--examples", type=int, default=8192, help="masks drawn once")
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--ema", type=float, default=0.99)
    trainer.launch(main, p.parse_args(), 1)
