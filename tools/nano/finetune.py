"""What the scripts that train beside the finished base share: its modules, and prompts and pictures encoded once."""

import pathlib

import torch

import attention
import textmodel
import to_diffusers
import tokenizer
import trainer
import train_unet

BASE = pathlib.Path(__file__).parent.parent.parent / "models" / "nano" / "nano-base.safetensors.gz"
SIZE_IDS = [128, 128, 0, 0, 128, 128.0]


class Base:
    """The base's modules, frozen, with the faster attention."""

    def __init__(self, tokenizers, file=BASE):
        self.modules, self.config = to_diffusers.components(file)
        for m in self.modules.values():
            m.requires_grad_(False)
        self.unet, self.vae = self.modules["unet"], self.modules["vae"]
        self.unet.set_attn_processor(attention.PlainAttention())
        for m in (self.unet, self.vae):
            m.to(memory_format=torch.channels_last)
        self.tokenizers = tokenizer.load(tokenizers)

    @torch.no_grad()
    def prompts(self, captions):
        """bf16 context [N, 77, 128] and pooled [N, 64]."""
        one, two = tokenizer.encode(self.tokenizers, captions)
        context, pooled = [], []
        with trainer.autocast():
            for a, b in zip(one.split(64), two.split(64)):
                h1 = textmodel.penultimate(self.modules["text_encoder"], a)
                h2, p = textmodel.penultimate_and_pooled(self.modules["text_encoder_2"], b)
                context.append(torch.cat([h1, h2], -1).bfloat16())
                pooled.append(p.bfloat16())
        return torch.cat(context), torch.cat(pooled)

    @torch.no_grad()
    def latents(self, pictures):
        """Scaled latents [N, 4, 16, 16] of uint8 pictures."""
        out = []
        with trainer.autocast():
            for x in pictures.split(32):
                x = (x.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
                out.append(self.vae.encode(x).latent_dist.mean.float().contiguous())
        return torch.cat(out) * self.vae.config.scaling_factor


class Examples:
    """Latents with their captions' embeddings; every caption is encoded once."""

    def __init__(self, base, latents, captions):
        distinct = sorted(set(captions))
        place = {c: i for i, c in enumerate(distinct)}
        self.z, self.caption = latents, torch.tensor([place[c] for c in captions])
        self.context, self.pooled = base.prompts(distinct + [""])

    def batch(self, n, g):
        """(indices, latents, context, pooled): 5 % of the captions are "", 5 % of the embeddings are zero."""
        ix = torch.randint(len(self.z), (n,), generator=g)
        dice = torch.rand(n, generator=g)
        caption = self.caption[ix].where(dice >= 0.05, len(self.context) - 1)
        keep = ((dice < 0.05) | (dice >= 0.10)).float()[:, None]
        return ix, self.z[ix], self.context[caption].float() * keep[:, :, None], self.pooled[caption].float() * keep


def draw(base, sampler, count, effect="", edit=None):
    """(pictures, latents, captions) of count scenes; edit(scene, rng) may change a scene before it is drawn."""
    import data

    scenes = [sampler.scene() for _ in range(count)]
    for s in scenes if edit else ():
        edit(s, sampler.rng)
    pictures = torch.cat([data.render(scenes[k:k + 64], sampler.rng.randrange(1 << 30), effect) for k in range(0, count, 64)])
    return pictures, base.latents(pictures), [s["caption"] for s in scenes]


def cached(path, key, make):
    """make()'s tensors, kept in a file for the next start with the same key."""
    if path.exists():
        kept = torch.load(path)
        if kept["key"] == key:
            return kept["value"]
    value = make()
    trainer.save_atomic(dict(key=key, value=value), path)
    return value


class Noise:
    """Noisy latents of stratified timesteps in [first, limit), and the loss on the predicted noise."""

    def __init__(self, limit=1000, weighted=True, first=0):
        self.alphas, weight = train_unet.noise_schedule()
        self.first, self.limit, self.weight = first, limit, weight if weighted else torch.ones(1000)

    def add(self, x0, g):
        n = len(x0)
        t = (torch.arange(n) + torch.rand(n, generator=g)) / n * (self.limit - self.first) + self.first
        t = t.long().clamp(max=self.limit - 1)
        noise = torch.randn(x0.shape, generator=g)
        at = self.alphas[t][:, None, None, None]
        return (at.sqrt() * x0 + (1 - at).sqrt() * noise).contiguous(memory_format=torch.channels_last), t, noise

    def loss(self, predicted, noise, t):
        return (((predicted - noise) ** 2).mean((1, 2, 3)) * self.weight[t]).mean()


def loop(run, args, loss_of_step):
    """Train to the end; loss_of_step(generator) is one batch's loss."""
    mean = None
    while run.step < min(args.steps, args.stop or args.steps):
        lr = run.rate()
        loss = loss_of_step(run.generator())
        norm = run.update(loss)
        mean = loss.item() if mean is None else mean * 0.98 + 0.02 * loss.item()
        if run.step in (5, 20) or run.step % 50 == 0:
            run.say(f"{run.step} {run.elapsed():.0f}s loss={mean:.5f} gn={norm:.2f} lr={lr:.5f}")
        run.save()
    run.save(force=True)
    run.say(f"done: {run.step} steps, {run.elapsed():.0f} s")


def add_arguments(parser):
    parser.add_argument("--tokenizers", type=pathlib.Path, required=True, help="folder for the tokenizers; made if absent")
    parser.add_argument("--examples", type=int, default=4096, help="pictures drawn and encoded once")
    parser.add_argument("--batch", type=int, default=32)
    return parser
