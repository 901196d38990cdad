"""Train the nano UNet and both text encoders together on the latents of `latents.py`."""

import argparse

import torch

import arch
import attention
import latents
import textmodel
import tokenizer
import trainer

UNKNOWN = 0  # compact id of every token that no caption has; its embedding stays zero


def noise_schedule():
    """Cumulative alphas and loss weights of the 1000 timesteps.

    The weight is min-SNR-5 (Hang et al., 2023) plus an x0 term clipped at 15:
    a small network must spend its capacity where the shape is decided.
    """
    s = arch.SCHEDULER
    betas = torch.linspace(s["beta_start"] ** 0.5, s["beta_end"] ** 0.5, 1000, dtype=torch.float64) ** 2
    alphas = torch.cumprod(1 - betas, 0).float()
    snr = alphas / (1 - alphas)
    w = snr.clamp(max=5) / snr + (1 / snr).clamp(max=15)
    return alphas, w / w.mean()


class Data:
    """Latents and captions with compact token ids: of 49,408 tokens about 40 occur."""

    def __init__(self, folder):
        z, captions = latents.load(folder)
        self.scaling_factor = 1 / z.std().item()
        self.z = z * self.scaling_factor
        one, two = tokenizer.encode(tokenizer.load(folder / "tok"), captions + [""])
        self.used = sorted(set(one.unique().tolist()) | set(two.unique().tolist()))
        table = torch.zeros(arch.VOCAB, dtype=torch.long)
        table[torch.tensor(self.used)] = torch.arange(1, len(self.used) + 1)
        self.one, self.two = table[one], table[two]
        self.vocab = len(self.used) + 1

    def batch(self, n, g):
        """n latents with ids: 5 % captions are "", 5 % embeddings are zeroed, 5 % have an unknown word put in."""
        ix = torch.randint(len(self.z), (n,), generator=g)
        a, b, keep = self.one[ix], self.two[ix], torch.ones(n, 1)
        dice = torch.rand(n, generator=g).tolist()
        for k, r in enumerate(dice):
            if r < 0.05:
                a[k], b[k] = self.one[-1], self.two[-1]
            elif r < 0.10:
                keep[k] = 0
            elif r < 0.15:
                q = 1 + int((r - 0.10) / 0.05 * 7)
                for ids in (a, b):
                    ids[k, q + 1:] = ids[k, q:-1].clone()
                    ids[k, q] = UNKNOWN
        return self.z[ix], a, b, keep


def build(vocab):
    one, two = arch.make_text_encoders(vocab)
    unet = arch.make_unet()
    arch.init_unet(unet)
    unet.set_attn_processor(attention.PlainAttention())
    for t in (one, two):
        arch.init_text(t)
        e = t.get_input_embeddings()
        e.padding_idx = UNKNOWN  # no gradient: stays zero
        e.weight.data[UNKNOWN] = 0
    # SDXL never uses the first encoder's last layer: it keeps its initial weights.
    frozen = [*textmodel.core(one).encoder.layers[-1].parameters(), *textmodel.core(one).final_layer_norm.parameters()]
    for p in frozen:
        p.requires_grad_(False)
    return torch.nn.ModuleDict(dict(unet=unet.to(memory_format=torch.channels_last), one=one, two=two))


def param_groups(model):
    """Weight decay on matrices and kernels only."""
    decay, plain = [], []
    for name, p in model.named_parameters():
        if p.requires_grad:
            (decay if p.ndim > 1 and "embedding" not in name else plain).append(p)
    return [dict(params=decay, weight_decay=0.01), dict(params=plain, weight_decay=0)]


def main(rank, args, shared, barrier):
    d = Data(args.out)
    model = build(d.vocab)
    run = trainer.Run(rank, args, shared, barrier, model, param_groups(model), args.out / "unet.ckpt")
    extra = dict(used=d.used, scaling_factor=d.scaling_factor)
    run.say(f"{len(d.z)} latents, scaling factor {d.scaling_factor:.4f}, {d.vocab} tokens, "
            f"{arch.count(model['unet'])} + {arch.count(model['one'])} + {arch.count(model['two'])} parameters")
    alphas, weight = noise_schedule()
    n = args.batch // args.procs
    time_ids = torch.tensor([128, 128, 0, 0, 128, 128.0]).expand(n, 6)
    mean = None
    while run.step < min(args.steps, args.stop or args.steps):
        lr = run.rate()
        g = run.generator()
        x0, a, b, keep = d.batch(n, g)
        # Stratified over the whole batch: rank r takes every procs-th of its equal slices.
        slices = torch.arange(n) * args.procs + rank
        t = ((slices + torch.rand(n, generator=g)) / args.batch * 1000).long().clamp(max=999)
        noise = torch.randn(x0.shape, generator=g)
        at = alphas[t][:, None, None, None]
        xt = (at.sqrt() * x0 + (1 - at).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        with trainer.autocast():
            h1 = textmodel.penultimate(model["one"], a)
            h2, pooled = textmodel.penultimate_and_pooled(model["two"], b)
            context = torch.cat([h1, h2], -1) * keep[:, :, None]
            eps = model["unet"](xt, t, context, added_cond_kwargs=dict(text_embeds=pooled * keep, time_ids=time_ids)).sample.float()
        each = ((eps - noise) ** 2).mean((1, 2, 3))
        loss = (each * weight[t]).mean()
        norm = run.update(loss)
        now = torch.tensor([each.mean().item(), loss.item()])
        mean = now if mean is None else mean * 0.98 + 0.02 * now
        if run.step in (5, 20) or run.step % 50 == 0:
            run.log.append((run.step, run.elapsed(), *mean.tolist()))
            run.say(f"{run.step} {run.elapsed():.0f}s eps={mean[0]:.4f} weighted={mean[1]:.4f} gn={norm:.2f} lr={lr:.5f}")
        run.save(**extra)
        if args.snapshot and run.step in args.snapshot and rank == 0:
            trainer.save_atomic(dict(ema=run.ema.state_dict(), step=run.step, seconds=run.elapsed(), **extra),
                                args.out / f"unet-{run.step}.pt")
    run.save(force=True, **extra)
    if rank == 0:
        trainer.save_atomic(dict(ema=run.ema.state_dict(), step=run.step, seconds=run.elapsed(), log=run.log, **extra),
                            args.out / "unet.pt")
        run.say(f"done: {run.step} steps, {run.elapsed():.0f} s")


if __name__ == "__main__":
    p = trainer.add_arguments(argparse.ArgumentParser(description=__doc__), seed=3)
    p.add_argument("--lr", type=float, default=1.5e-3)
    p.add_argument("--ema", type=float, default=0.998)
    p.add_argument("--batch", type=int, default=64, help="of all processes together")
    p.add_argument("--snapshot", type=int, nargs="*", help="also keep the averaged weights of these steps")
    args = p.parse_args()
    trainer.launch(main, args, sum(q.numel() for g in param_groups(build(Data(args.out).vocab)) for q in g["params"]))
