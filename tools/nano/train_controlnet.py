"""Train the nano ControlNet: Canny edges say where and how large the shape is, the prompt says the colours.

    python train_controlnet.py --out RUN/controlnet --tokenizers RUN/tok --steps 600 --decay 200 --stop 549 --examples 1536 --batch 16

Shapes lie anywhere and have any radius. Captions mostly leave out place and size; one in five says them, wrongly as often
as not, so that the network learns to go by the edges. Writes RUN/controlnet/nano-controlnet-canny.safetensors under diffusers' names.
"""

import argparse
import json

import torch
from safetensors.torch import save_file

import arch
import attention
import data
import finetune
import trainer
import train_unet
from finetune import Base, Examples, Noise

FIRST = 200  # timesteps below are left out: with so little noise the shape has its place already


def anywhere(scene, rng):
    """An edit for finetune.draw."""
    said = rng.random() < 0.2
    size, position = (rng.choice(["", "small", "big"]), rng.choice(["", *data.POSITIONS])) if said else ("", "")
    scene["caption"] = data.caption(scene["colour"], scene["shape"], scene["background"], size, position)
    scene["radius"] = rng.uniform(20, 44)
    room = 60 - scene["radius"] * 1.05
    scene["cx"], scene["cy"] = 64 + rng.uniform(-room, room), 64 + rng.uniform(-room, room)


def edges(scenes):
    """uint8 [B, 1, R, R]: the outline one pixel wide, white on black, as Canny draws it."""
    field = lambda k: torch.tensor([s[k] for s in scenes], dtype=torch.float32)
    shape = torch.tensor([data.SHAPES.index(s["shape"]) for s in scenes])
    inside = data.coverage(shape, field("cx"), field("cy"), field("radius"))[:, None] > 0.5
    core = inside.clone()  # pixels whose four neighbours are inside too
    for shift, dim in ((1, 2), (-1, 2), (1, 3), (-1, 3)):
        core &= inside.roll(shift, dim)
    return (inside & ~core).to(torch.uint8) * 255


def init(net):
    """The small network begins as random features of the edges instead of as nothing, so that the nets' last layers, which do begin
    as nothing, have something to go by from the first step."""
    for m in net.controlnet_cond_embedding.modules():
        if isinstance(m, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
            torch.nn.init.zeros_(m.bias)


def draw(base, args):
    """(latents, captions, edges) of all examples."""
    scenes = []
    _, latents, captions = finetune.draw(base, data.Sampler(args.seed), args.examples,
                                         edit=lambda s, rng: (anywhere(s, rng), scenes.append(s)))
    return latents, captions, torch.cat([edges(scenes[k:k + 64]) for k in range(0, args.examples, 64)])


def main(rank, args, shared, barrier):
    base = Base(args.tokenizers)
    net = arch.make_controlnet(base.unet)
    init(net)
    net.set_attn_processor(attention.PlainAttention())
    net.requires_grad_(True).to(memory_format=torch.channels_last)
    run = trainer.Run(rank, args, shared, barrier, net, train_unet.param_groups(net), args.out / "controlnet.ckpt")
    latents, captions, hints = finetune.cached(args.out / "examples.pt", (args.seed, args.examples), lambda: draw(base, args))
    examples, noise = Examples(base, latents, captions), Noise(first=FIRST)
    run.say(f"{arch.count(net)} parameters, {run.elapsed():.0f} s to prepare")
    ids = torch.tensor(finetune.SIZE_IDS).expand(args.batch, 6)

    def step(g):
        ix, x0, context, pooled = examples.batch(args.batch, g)
        xt, t, eps = noise.add(x0, g)
        hint = (hints[ix].float() / 255).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        added = dict(text_embeds=pooled, time_ids=ids)
        with trainer.autocast():
            down, mid = net(xt, t, context, hint, added_cond_kwargs=added, return_dict=False)
            out = base.unet(xt, t, context, added_cond_kwargs=added, down_block_additional_residuals=down,
                            mid_block_additional_residual=mid).sample
        return noise.loss(out.float(), eps, t)

    finetune.loop(run, args, step)
    net.load_state_dict(run.ema.state_dict())
    write(net, args.out / "nano-controlnet-canny.safetensors")


def write(net, path):
    meta = {"format": "pt", "modelspec.license": "MIT", "modelspec.title": "Daguerre nano ControlNet: Canny edges",
            "modelspec.architecture": "stable-diffusion-xl-v1-base/controlnet",
            "daguerre.config": json.dumps({"unet": {"norm_num_groups": arch.UNET_GROUPS}})}
    save_file({k: v.to(torch.float16).contiguous() for k, v in net.state_dict().items()}, path, metadata=meta)
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    p = finetune.add_arguments(trainer.add_arguments(argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter), seed=21, procs=1, warmup=50))
    p.add_argument("--lr", type=float, default=1.5e-3)
    p.add_argument("--ema", type=float, default=0.99)
    trainer.launch(main, p.parse_args(), 1)
