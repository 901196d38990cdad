"""Train the nano refiner on the low-noise timesteps.

    python train_refiner.py --out RUN/refiner --tokenizers RUN/tok --steps 600 --decay 200 --examples 2048

It starts from what fits of the base. Writes RUN/refiner/nano-refiner.safetensors.gz in the layout of SDXL's refiner checkpoint
(the base's second text encoder as conditioner.embedders.0.model).
"""

import argparse
import gzip
import hashlib
import json

import torch
from safetensors.torch import save

import arch
import attention
import data
import export
import finetune
import singlefile
import to_diffusers
import trainer
import train_unet
from finetune import Base, Examples, Noise

LIMIT = 300  # of 1000 timesteps; a hand-off at 0.8 uses those below 200
# base module -> refiner module of the same size: all of the first level, and of the second what the refiner has of it.
SAME = {"up_blocks.1.resnets.1": "up_blocks.2.resnets.0", "up_blocks.1.resnets.2": "up_blocks.2.resnets.1",
        "up_blocks.1.attentions.1": "up_blocks.2.attentions.0", "up_blocks.1.attentions.2": "up_blocks.2.attentions.1",
        "up_blocks.1.upsamplers": "up_blocks.2.upsamplers", "up_blocks.2": "up_blocks.3"} | {
    k: k for k in ("conv_in", "time_embedding", "add_embedding", "down_blocks.0", "down_blocks.1", "conv_norm_out", "conv_out")}


def start_from(base, refiner):
    """Copy every tensor of the same shape. Keys and values lose the columns of the first text encoder; the label embedding
    loses the last two size ids and takes the aesthetic score with zero weights."""
    new, taken = refiner.state_dict(), 0
    for name, old in base.state_dict().items():
        head = next((h for h in SAME if name.startswith(h + ".")), None)
        target = head and SAME[head] + name[len(head):]
        if target not in new:
            continue
        if name.endswith(("attn2.to_k.weight", "attn2.to_v.weight")):
            old = old[:, arch.TEXT_WIDTH:]
        elif name == "add_embedding.linear_1.weight":
            old = torch.cat([old[:, :arch.TEXT_WIDTH + 4 * 256], torch.zeros(len(old), 256)], 1)
        if old.shape == new[target].shape:
            new[target].copy_(old)
            taken += old.numel()
    return taken


def scores(n, g):
    """Size ids and aesthetic score [N, 5]: all pictures are equally good, so any score may stand there."""
    return torch.cat([torch.tensor([128, 128, 0, 0.0]).expand(n, 4), 2 + 5 * torch.rand(n, 1, generator=g)], 1)


def main(rank, args, shared, barrier):
    base = Base(args.tokenizers)
    net = arch.make_refiner()
    arch.init_unet(net)
    net.set_attn_processor(attention.PlainAttention())
    taken = start_from(base.unet, net)
    net.to(memory_format=torch.channels_last)
    run = trainer.Run(rank, args, shared, barrier, net, train_unet.param_groups(net), args.out / "refiner.ckpt")
    _, latents, captions = finetune.draw(base, data.Sampler(args.seed), args.examples)
    examples, noise = Examples(base, latents, captions), Noise(LIMIT, weighted=False)
    run.say(f"{arch.count(net)} parameters, {taken} from the base, {run.elapsed():.0f} s to prepare")

    def step(g):
        _, x0, context, pooled = examples.batch(args.batch, g)
        xt, t, eps = noise.add(x0, g)
        added = dict(text_embeds=pooled, time_ids=scores(args.batch, g))
        with trainer.autocast():
            out = net(xt, t, context[:, :, arch.TEXT_WIDTH:], added_cond_kwargs=added).sample
        return noise.loss(out.float(), eps, t)

    finetune.loop(run, args, step)
    measure(base, net, run)
    write(run.ema.state_dict(), args.out / "nano-refiner.safetensors.gz")


@torch.no_grad()
def measure(base, net, run, count=128, limit=200):
    """Mean square error of the predicted noise below timestep `limit`, on pictures of another seed: the base's and the refiner's averages'."""
    net.load_state_dict(run.ema.state_dict())
    _, latents, captions = finetune.draw(base, data.Sampler(999), count)
    g, noise = torch.Generator().manual_seed(1), Noise(limit, weighted=False)
    context, pooled = (x.float() for x in base.prompts(captions))
    xt, t, eps = noise.add(latents, g)
    ids = torch.tensor(finetune.SIZE_IDS).expand(count, 6)
    with trainer.autocast():
        one = base.unet(xt, t, context, added_cond_kwargs=dict(text_embeds=pooled, time_ids=ids)).sample
        two = net(xt, t, context[:, :, arch.TEXT_WIDTH:], added_cond_kwargs=dict(text_embeds=pooled, time_ids=scores(count, g))).sample
    run.say(f"error below timestep {limit}: base {noise.loss(one.float(), eps, t):.4f}, refiner {noise.loss(two.float(), eps, t):.4f}")


def write(unet, path):
    source, meta = to_diffusers.read(finetune.BASE)
    config = json.loads(meta["daguerre.config"])
    single = singlefile.refiner_to_single(unet, {k: v for k, v in source.items() if k.startswith(singlefile.TEXT_2)})
    full = export.config(config["vae"]["scaling_factor"])
    raw = save({k: v.to(torch.float16).contiguous() for k, v in sorted(single.items())}, {
        "format": "pt", "modelspec.license": "MIT", "modelspec.title": "Daguerre nano refiner",
        "modelspec.architecture": "stable-diffusion-xl-v1-refiner", "daguerre.config": json.dumps({
            "unet": full["unet"], "scheduler": full["scheduler"], "text_encoder_2": full["text_encoder_2"], "default": full["default"],
            "force_zeros_for_empty_prompt": False})})
    path.write_bytes(gzip.compress(raw, 9, mtime=0))
    print(path, path.stat().st_size, "bytes; unpacked", len(raw), "bytes, sha256", hashlib.sha256(raw).hexdigest())


if __name__ == "__main__":
    p = finetune.add_arguments(trainer.add_arguments(argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter), seed=31, procs=1, warmup=50))
    p.add_argument("--lr", type=float, default=1.5e-3)
    p.add_argument("--ema", type=float, default=0.995)
    trainer.launch(main, p.parse_args(), 1)
