"""Train the nano VAE: 32 px crops, then 64 px crops, then whole pictures."""

import argparse
import math
import random

import torch

import arch
import data
import trainer

# (up to this fraction of the steps, crop size, pictures per process, crops per picture)
PHASES = [(0.5, 32, 8, 2), (0.78, 64, 4, 2), (1.0, 128, 3, 1)]


def crops(args, step, rank):
    frac = step / args.steps
    size, n, per = next(p[1:] for p in PHASES if frac < p[0] or p[0] == 1.0)
    rng = random.Random(args.seed * 7919 + step * 64 + rank)
    sampler = crops.sampler
    sampler.rng = rng
    x = sampler.batch(n, free=0.3)[0].float() / 127.5 - 1
    if size < data.RESOLUTION:
        out, room = [], data.RESOLUTION - size
        for k in range(n * per):
            i, j = rng.randint(0, room), rng.randint(0, room)
            out.append(x[k % n, :, i:i + size, j:j + size])
        x = torch.stack(out)
    return x.contiguous(memory_format=torch.channels_last)


def main(rank, args, shared, barrier):
    crops.sampler = data.Sampler(0)
    vae = arch.make_vae()
    arch.init_vae(vae)
    vae.to(memory_format=torch.channels_last)
    run = trainer.Run(rank, args, shared, barrier, vae,
                      [dict(params=list(vae.parameters()), weight_decay=1e-3)], args.out / "vae.ckpt")
    mean = [0.0, 0.0, 0.0]
    seen = 0
    while run.step < min(args.steps, args.stop or args.steps):
        lr = run.rate()
        x = crops(args, run.step, rank)
        g = run.generator()
        with trainer.autocast():
            q = vae.encode(x).latent_dist
            mu, logvar = q.mean.float(), q.logvar.float()
            y = vae.decode(mu + torch.exp(0.5 * logvar) * torch.randn(mu.shape, generator=g)).sample
        d = y.float() - x
        l1, l2 = d.abs().mean(), (d * d).mean()
        kl = 0.5 * (mu ** 2 + logvar.exp() - 1 - logvar).mean()
        norm = run.update(l1 + 2 * l2 + 2e-4 * kl)
        mean = [m * 0.97 + 0.03 * v.item() for m, v in zip(mean, (l1, l2, kl))]
        seen += 1
        if run.step % 100 == 0:
            c = 1 - 0.97 ** seen
            run.say(f"{run.step} {run.elapsed():.0f}s {tuple(x.shape)} l1={mean[0] / c:.4f} "
                    f"psnr={10 * math.log10(4 * c / mean[1]):.2f} kl={mean[2] / c:.2f} gn={norm:.2f} lr={lr:.5f}")
            run.log.append((run.step, run.elapsed(), *mean))
        run.save()
    run.save(force=True)
    if rank == 0 and run.step >= args.steps:
        vae.load_state_dict(run.ema.state_dict())
        trainer.save_atomic({k: v.contiguous() for k, v in vae.state_dict().items()}, args.out / "vae.pt")
        measure(vae)


@torch.no_grad()
def measure(vae):
    x = data.Sampler(999).batch(64)[0].float() / 127.5 - 1
    z = torch.cat([vae.encode(b).latent_dist.mean for b in x.split(8)])
    y = torch.cat([vae.decode(b).sample for b in z.split(8)]).clamp(-1, 1)
    psnr = 10 * torch.log10(4 / ((y - x) ** 2).mean((1, 2, 3)))
    print(f"PSNR mean {psnr.mean():.2f} min {psnr.min():.2f} dB; latent std {z.std():.4f} "
          f"mean {z.mean((0, 2, 3)).tolist()} channel std {z.std((0, 2, 3)).tolist()}", flush=True)


if __name__ == "__main__":
    p = trainer.add_arguments(argparse.ArgumentParser(description=__doc__), seed=1)
    p.add_argument("--lr", type=float, default=3e-3)
    p.add_argument("--ema", type=float, default=0.995)
    trainer.launch(main, p.parse_args(), arch.count(arch.make_vae()))
