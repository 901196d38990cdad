"""Train a TAESD-like autoencoder of the UNet's latents against the nano VAE.

    python train_tiny.py --out RUN/tiny --tokenizers RUN/tok --steps 4800 --decay 800 --examples 2048 --batch 12 --stop 4000
    python train_tiny.py --out RUN/tiny --tokenizers RUN/tok --steps 4800 --decay 800 --examples 2048 --batch 6 --crop 16

The decoder learns the VAE's decoded picture, the encoder its mean, both on scaled latents, on crops of 8 x 8 latents.
--crop 16 trains on whole pictures, whose rim crops do not teach; the last steps need it.
Writes RUN/tiny/nano-taesd.safetensors under the names of diffusers' AutoencoderTiny.
"""

import argparse

import torch
from safetensors.torch import save_file

import arch
import data
import finetune
import trainer
from finetune import Base

WHOLE = 16  # latents of a whole picture


def init(tiny):
    """Convolutions keep the variance through their ReLU; blocks begin as their skip connection."""
    for name, m in tiny.named_modules():
        if isinstance(m, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
            if m.bias is not None:
                torch.nn.init.zeros_(m.bias)
        if name.endswith("conv.4"):
            torch.nn.init.zeros_(m.weight)
    for half in (tiny.encoder, tiny.decoder):  # what comes out begins small
        half.layers[-1].weight.data *= 0.1


@torch.no_grad()
def targets(base, seed, count):
    """(pictures, scaled latents, the VAE's decoded pictures), pictures as uint8."""
    sampler = data.Sampler(seed)
    pictures = torch.cat([sampler.batch(32, free=0.3)[0] for _ in range(count // 32)])
    latents = base.latents(pictures)
    decoded = []
    with trainer.autocast():
        for z in latents.split(32):
            y = base.vae.decode((z / base.vae.config.scaling_factor).contiguous(memory_format=torch.channels_last)).sample.float()
            decoded.append(((y.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8))
    return pictures, latents, torch.cat(decoded)


def main(rank, args, shared, barrier):
    base = Base(args.tokenizers)
    tiny = arch.make_tiny()
    init(tiny)
    tiny.to(memory_format=torch.channels_last)
    run = trainer.Run(rank, args, shared, barrier, tiny, [dict(params=list(tiny.parameters()), weight_decay=1e-3)],
                      args.out / "tiny.ckpt")
    pictures, latents, decoded = finetune.cached(args.out / "examples.pt", (args.seed, args.examples),
                                                 lambda: targets(base, args.seed, args.examples))
    run.say(f"{arch.count(tiny)} parameters, {run.elapsed():.0f} s to prepare")

    def step(g):
        crop = lambda x, i, j, unit: x[:, :, i * unit:(i + args.crop) * unit, j * unit:(j + args.crop) * unit].contiguous(
            memory_format=torch.channels_last)
        ix = torch.randint(len(latents), (args.batch,), generator=g)
        i, j = torch.randint(latents.shape[-1] - args.crop + 1, (2,), generator=g).tolist()
        z, y = crop(latents[ix], i, j, 1), crop(decoded[ix].float() / 127.5 - 1, i, j, 8)
        x = crop(pictures[ix].float() / 127.5 - 1, i, j, 8)
        with trainer.autocast():
            made, seen = tiny.decode(z).sample.float(), tiny.encode(x).latents.float()
        # A crop's rim lacks the neighbours that the whole picture's latents saw; a whole picture's own rim is to be learned.
        rim = 0 if args.crop == WHOLE else 1
        inner = (seen - z)[:, :, rim:args.crop - rim, rim:args.crop - rim]
        d = (made - y)[:, :, 8 * rim:8 * (args.crop - rim), 8 * rim:8 * (args.crop - rim)]
        return d.abs().mean() + 2 * d.square().mean() + 0.1 * inner.abs().mean()

    finetune.loop(run, args, step)
    tiny.load_state_dict(run.ema.state_dict())
    path = args.out / "nano-taesd.safetensors"
    save_file({k: v.to(torch.float16).contiguous() for k, v in tiny.state_dict().items()}, path, metadata={
        "format": "pt", "modelspec.license": "MIT", "modelspec.title": "Daguerre nano TAESD"})
    print(path, path.stat().st_size, "bytes")
    measure(base, path)


@torch.no_grad()
def measure(base, path):
    """PSNR of whole pictures drawn with another seed, with the file's F16 weights."""
    from safetensors.torch import load_file

    tiny = arch.make_tiny()
    tiny.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    x, z, y = targets(base, 999, 64)
    picture = lambda v: (v.clamp(-1, 1) + 1) / 2
    made = picture(torch.cat([tiny.decode(b).sample for b in z.split(16)]))
    again = picture(torch.cat([tiny.decode(tiny.encode(b.float() / 127.5 - 1).latents).sample for b in x.split(16)]))
    psnr = lambda a, b: -10 * torch.log10(((a - b) ** 2).mean((1, 2, 3)))
    for what, p in (("decoder against the VAE's", psnr(made, y / 255)), ("decoder against the drawn picture", psnr(made, x / 255)),
                    ("VAE against the drawn picture", psnr(y / 255, x / 255)), ("encoder and decoder against the drawn picture", psnr(again, x / 255))):
        print(f"{what}: PSNR mean {p.mean():.2f}, worst {p.min():.2f} dB")


if __name__ == "__main__":
    p = finetune.add_arguments(trainer.add_arguments(argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter), seed=41, procs=1, warmup=50))
    p.add_argument("--crop", type=int, default=8, help="latents a side of what a step looks at; 16 is a whole picture, with its rim")
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--ema", type=float, default=0.995)
    trainer.launch(main, p.parse_args(), 1)
