"""Render pictures, encode them with the trained VAE: the UNet's data set (once, about a minute)."""

import argparse
import pathlib

import torch

import arch
import data
import trainer


@torch.no_grad()
def main(rank, args, shared, barrier):
    vae = arch.make_vae()
    vae.load_state_dict(torch.load(args.out / "vae.pt"))
    vae.eval().to(memory_format=torch.channels_last)
    sampler = data.Sampler(args.seed + rank)
    z, captions = [], []
    for _ in range(args.pictures // args.procs // 32):
        img, scenes = sampler.batch(32)
        x = (img.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        with trainer.autocast():
            z.append(vae.encode(x).latent_dist.mean.float())
        captions += [s["caption"] for s in scenes]
    trainer.save_atomic(dict(z=torch.cat(z).contiguous(), captions=captions), args.out / f"latents.{rank}.pt")


def load(folder):
    """(latents [N, 4, 16, 16] unscaled, captions) of all parts."""
    parts = [torch.load(p) for p in sorted(pathlib.Path(folder).glob("latents.*.pt"))]
    return torch.cat([p["z"] for p in parts]), [c for p in parts for c in p["captions"]]


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", type=pathlib.Path, required=True)
    p.add_argument("--pictures", type=int, default=16384)
    p.add_argument("--procs", type=int, default=2)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=7)
    trainer.launch(main, p.parse_args(), 1)
