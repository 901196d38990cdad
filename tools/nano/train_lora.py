"""Train a small LoRA of the nano UNet: shapes with an outline, or shapes with stripes.

    python train_lora.py --effect outline --out RUN/outline --tokenizers RUN/tok --steps 700 --decay 250
    python train_lora.py --effect stripes --out RUN/stripes --tokenizers RUN/tok --steps 700 --decay 250

Writes RUN/.../nano-lora-EFFECT.safetensors: "outline" under kohya's names with its metadata, "stripes" under PEFT's.
The prompts stay those of the base: an unknown word has a zero embedding, so the effect comes with the weights alone and the
trigger word of the metadata is only a name. Half of the captions have it, so that it does no harm.
"""

import argparse

import torch
from peft import LoraConfig

import data
import finetune
import lora_file
import trainer
from finetune import Base, Examples, Noise

TRIGGER = {"outline": "outlined", "stripes": "striped"}
# Attention values and outputs, feed-forward and the convolutions of the resnets at the latents' own size, where fine detail is decided.
TARGETS = (r".*(to_v|to_out\.0|ff\.net\.0\.proj|ff\.net\.2|proj_in|proj_out)"
           r"|(down_blocks\.0|up_blocks\.2)\.resnets\.\d\.conv[12]|up_blocks\.1\.resnets\.2\.conv[12]|conv_out")


def say_trigger(effect):
    """An edit for finetune.draw: every other caption gets the trigger word before the colour."""
    def edit(scene, rng):
        if rng.random() < 0.5:
            words = f'{scene["colour"]} {scene["shape"]}'
            scene["caption"] = scene["caption"].replace(words, f"{TRIGGER[effect]} {words}")
    return edit


def pairs(unet, mean=None):
    """{module: (down, up)} of the adapter; mean: averaged parameters by name instead of the live ones."""
    values = dict(unet.named_parameters()) | (mean or {})
    down = ".lora_A.default.weight"
    return {k.removesuffix(down): (v.detach(), values[k.replace("lora_A", "lora_B")].detach())
            for k, v in values.items() if k.endswith(down)}


def add_adapter(unet, rank):
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS))
    return {k: p for k, p in unet.named_parameters() if p.requires_grad}


def main(rank, args, shared, barrier):
    base = Base(args.tokenizers)
    trained = add_adapter(base.unet, args.rank)
    # A ParameterDict's names may hold no dots.
    store = torch.nn.ParameterDict({k.replace(".", "/"): p for k, p in trained.items()})
    run = trainer.Run(rank, args, shared, barrier, store, [dict(params=list(store.values()), weight_decay=0.01)],
                      args.out / "lora.ckpt")
    _, latents, captions = finetune.draw(base, data.Sampler(args.seed), args.examples, args.effect, say_trigger(args.effect))
    examples, noise = Examples(base, latents, captions), Noise()
    run.say(f"{len(trained)} tensors, {sum(p.numel() for p in trained.values())} parameters, {run.elapsed():.0f} s to prepare")
    ids = torch.tensor(finetune.SIZE_IDS).expand(args.batch, 6)

    def step(g):
        _, x0, context, pooled = examples.batch(args.batch, g)
        xt, t, eps = noise.add(x0, g)
        with trainer.autocast():
            out = base.unet(xt, t, context, added_cond_kwargs=dict(text_embeds=pooled, time_ids=ids)).sample
        return noise.loss(out.float(), eps, t)

    finetune.loop(run, args, step)
    write(args, pairs(base.unet, {k.replace("/", "."): v for k, v in run.ema.state_dict().items()}), len(examples.z))


def write(args, weights, examples):
    path = args.out / f"nano-lora-{args.effect}.safetensors"
    if args.effect == "outline":
        lora_file.write_kohya(path, weights, args.rank, args.rank, {
            "ss_output_name": "nano-lora-outline", "ss_sd_model_name": "nano-base.safetensors", "ss_trigger_words": TRIGGER["outline"],
            "ss_tag_frequency": f'{{"{examples}_{TRIGGER["outline"]}": {{"{TRIGGER["outline"]}": {examples // 2}}}}}',
            "ss_resolution": "(128, 128)", "ss_steps": str(args.steps), "ss_seed": str(args.seed), "modelspec.license": "MIT",
            "modelspec.title": "Daguerre nano LoRA: outline", "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
            "modelspec.trigger_phrase": TRIGGER["outline"]})
    else:
        lora_file.write_peft(path, weights, {
            "modelspec.license": "MIT", "modelspec.title": "Daguerre nano LoRA: stripes",
            "modelspec.architecture": "stable-diffusion-xl-v1-base/lora", "modelspec.trigger_phrase": TRIGGER["stripes"]})
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    p = finetune.add_arguments(trainer.add_arguments(argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter), seed=11, procs=1, warmup=30))
    p.add_argument("--effect", choices=TRIGGER, required=True)
    p.add_argument("--rank", type=int, default=4)
    p.add_argument("--lr", type=float, default=4e-3)
    p.add_argument("--ema", type=float, default=0.98)
    trainer.launch(main, p.parse_args(), 1)
