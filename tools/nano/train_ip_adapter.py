"""Train the nano IP-Adapter: colour and shape come from a picture, background, place and size from the text.

    python train_ip_adapter.py --out RUN/ip --tokenizers RUN/tok --steps 1500 --decay 500 --batch 16 --through 2000

The base is frozen. The layout is that of h94's base adapters: a projection to four tokens, and keys and values for every cross
attention. These begin as the UNet's own. The UNet trains them with a table of four tokens for each colour and shape, which begin as
what the text encoders make of "a COLOUR SHAPE on". Then the projection is fitted to the table, by least squares over the embeddings
of drawn pictures. The last steps (--through) train all of it with such embeddings, as adapters are used. So the image encoder of
`train_image_encoder.py` is needed for these only, and may be trained at the same time.
Writes RUN/ip/nano-ip-adapter.safetensors under h94's names.
"""

import argparse

import torch
from safetensors.torch import save_file

import arch
import attention
import data
import finetune
import trainer
import train_image_encoder
from finetune import Base, Examples, Noise

FIRST = 200  # timesteps below are left out: with so little noise colour and shape are there already
TOKENS = 4
SPREAD = 0.2  # of the tokens in training, where 1 is their size: the embeddings of pictures differ a little
SAID = (2, 3, 4, 5)  # the tokens of "a COLOUR SHAPE on" that the adapter's begin as


class Adapter(torch.nn.Module):
    def __init__(self, unet, wanted):
        super().__init__()
        crossing = [m for n, m in attentions(unet)]
        width = crossing[0].to_k.in_features
        copy = lambda name: torch.nn.ParameterList([torch.nn.Parameter(getattr(m, name).weight.detach().clone()) for m in crossing])
        self.k, self.v = copy("to_k"), copy("to_v")
        normal = torch.nn.functional.layer_norm(wanted, wanted.shape[-1:])
        self.table = torch.nn.Parameter(torch.cat([normal, normal.mean(0, keepdim=True)]))  # the last is of no picture
        self.norm = torch.nn.LayerNorm(width)
        torch.nn.init.constant_(self.norm.weight, wanted.square().mean().sqrt().item())
        self.proj = torch.nn.Linear(arch.IMAGE_DIM, TOKENS * width).requires_grad_(False)

    @torch.no_grad()
    def fit(self, embeds, shows):
        """The projection that makes the table's tokens of embeddings best; zeros are the negative half's. Returns the error, of 1."""
        wanted = torch.nn.functional.layer_norm(self.table, self.table.shape[-1:]).flatten(1)
        none = len(embeds) // 20
        given = torch.cat([embeds, torch.zeros(none, embeds.shape[1])])
        target = torch.cat([wanted[shows], wanted[-1:].expand(none, -1)])
        given = torch.cat([given, torch.ones(len(given), 1)], 1).double()
        gram = given.T @ given + 1e-4 * len(given) * torch.eye(given.shape[1], dtype=torch.float64)
        found = torch.linalg.solve(gram, given.T @ target.double())
        self.proj.weight.copy_(found[:-1].T)
        self.proj.bias.copy_(found[-1])
        return (given @ found - target).square().mean().item()

    def state(self):
        """The file's tensors: h94's numbers count diffusers' attn_processors, whose odd ones are the cross attentions."""
        out = {f"image_proj.{n}": p for n, p in self.named_parameters() if n.startswith(("proj.", "norm."))}
        for i, (k, v) in enumerate(zip(self.k, self.v)):
            out |= {f"ip_adapter.{2 * i + 1}.to_k_ip.weight": k, f"ip_adapter.{2 * i + 1}.to_v_ip.weight": v}
        return out


def attentions(unet):
    """The cross attentions in the order of attn_processors."""
    names = [n.removesuffix(".processor") for n in unet.attn_processors]
    return [(n, unet.get_submodule(n)) for n in names if n.endswith("attn2")]


class Both(attention.PlainAttention):
    """Attention to the text, and to the pictures' tokens beside it."""

    def __init__(self, adapter, i):
        self.adapter, self.i = [adapter], i  # in a list: not a submodule

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None, **_):
        a = self.adapter[0]
        split = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        q = split(attn.to_q(hidden_states))
        y = attention.attend(q, split(attn.to_k(encoder_hidden_states)), split(attn.to_v(encoder_hidden_states)))
        k, v = (torch.nn.functional.linear(a.seen, w[self.i]) for w in (a.k, a.v))
        y = y + attention.attend(q, split(k), split(v))
        return attn.to_out[0](y.transpose(1, 2).flatten(2))


def neutral(s, rng):
    """The caption without colour and shape; at times less, at times all of it."""
    dice = rng.random()
    if dice < 0.1:
        return s["caption"]
    text = "a " + (s["size"] + " shape").strip()
    if s["position"]:
        text += " " + data.POSITION_PHRASE[s["position"]]
    return text + ("" if dice < 0.15 else " on " + data.article(s["background"]) + " background")


def draw(base, args):
    """(latents, captions, colours and shapes) of all examples."""
    scenes, keep = [], lambda s, rng: (s.update(caption=neutral(s, rng)), scenes.append(s))
    _, latents, captions = finetune.draw(base, data.Sampler(args.seed), args.examples, edit=keep)
    return latents, captions, torch.tensor([pair(data.COLOURS.index(s["colour"]), data.SHAPES.index(s["shape"])) for s in scenes])


def pair(colour, shape):
    return colour * len(data.SHAPES) + shape


@torch.no_grad()
def references(args):
    """(embeddings, colour and shape) of the pictures to show."""
    encoder = train_image_encoder.load(args.out / "nano-image-encoder.safetensors")
    pixels, words = train_image_encoder.Pictures(args.seed, args.references).take(args.references, torch.Generator().manual_seed(args.seed))
    return torch.cat([encoder(p).image_embeds for p in pixels.split(256)]), pair(words[:, 0], words[:, 1])


def said(base):
    """What the text encoders make of every colour and shape: [80, 4, width]."""
    captions = [data.article(f"{c} {s}") + " on a red background" for c in data.COLOURS for s in data.SHAPES]
    return base.prompts(captions)[0].float()[:, SAID]


def main(rank, args, shared, barrier):
    base = Base(args.tokenizers)
    latents, captions, pairs = finetune.cached(args.out / "examples.pt", (args.seed, args.examples), lambda: draw(base, args))
    examples, noise = Examples(base, latents, captions), Noise(first=FIRST)
    adapter = Adapter(base.unet, said(base))
    for i, (_, m) in enumerate(attentions(base.unet)):
        m.set_processor(Both(adapter, i))
    run = trainer.Run(rank, args, shared, barrier, adapter, [dict(params=[*adapter.k, *adapter.v], weight_decay=0.01),
                      dict(params=[adapter.table, *adapter.norm.parameters()], weight_decay=0)], args.out / "adapter.ckpt")
    run.say(f"{arch.count(adapter)} parameters, {run.elapsed():.0f} s to prepare")
    ids = torch.tensor(finetune.SIZE_IDS).expand(args.batch, 6)

    def step(g):
        ix, x0, context, pooled = examples.batch(args.batch, g)
        shown = pairs[ix].where(torch.rand(args.batch, generator=g) >= 0.1, len(adapter.table) - 1)
        tokens = adapter.table[shown]
        xt, t, eps = noise.add(x0, g)
        with trainer.autocast():
            adapter.seen = adapter.norm(tokens + SPREAD * torch.randn(tokens.shape, generator=g))
            out = base.unet(xt, t, context, added_cond_kwargs=dict(text_embeds=pooled, time_ids=ids)).sample
        return noise.loss(out.float(), eps, t)

    finetune.loop(run, args, step)
    adapter.load_state_dict(run.ema.state_dict())
    embeds, shows = references(args)
    off = adapter.fit(embeds, shows)
    run.say(f"tokens of pictures are off by {off:.3f} of 1")
    if args.through:
        adapter.proj.requires_grad_(True)
        last = argparse.Namespace(**vars(args) | dict(steps=args.through, decay=args.through // 2, lr=args.lr / 2))
        run = trainer.Run(rank, last, shared, barrier, adapter, [
            dict(params=[*adapter.k, *adapter.v, *adapter.norm.parameters(), *adapter.proj.parameters()], weight_decay=0.01)],
            args.out / "through.ckpt")
        of_pair = [(shows == i).nonzero().flatten() for i in range(len(adapter.table) - 1)]

        def through(g):
            ix, x0, context, pooled = examples.batch(args.batch, g)
            seen = torch.stack([embeds[own[torch.randint(len(own), (1,), generator=g)[0]]] for own in (of_pair[i] for i in pairs[ix])])
            seen = seen * (torch.rand(args.batch, 1, generator=g) >= 0.1)
            xt, t, eps = noise.add(x0, g)
            with trainer.autocast():
                adapter.seen = adapter.norm(adapter.proj(seen).unflatten(1, (TOKENS, -1)))
                out = base.unet(xt, t, context, added_cond_kwargs=dict(text_embeds=pooled, time_ids=ids)).sample
            return noise.loss(out.float(), eps, t)

        finetune.loop(run, last, through)
        adapter.load_state_dict(run.ema.state_dict())
    write(adapter, args.out / "nano-ip-adapter.safetensors")


def write(adapter, path):
    save_file({k: v.detach().to(torch.float16).contiguous() for k, v in adapter.state().items()}, path, metadata={
        "format": "pt", "modelspec.license": "MIT", "modelspec.title": "Daguerre nano IP-Adapter: colour and shape",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/ip-adapter"})
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    p = finetune.add_arguments(trainer.add_arguments(argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter), seed=52, procs=1, warmup=50))
    p.add_argument("--references", type=int, default=8192, help="pictures to show")
    p.add_argument("--through", type=int, default=0, help="steps in the end that train projection, keys and values with pictures' embeddings")
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--ema", type=float, default=0.99)
    trainer.launch(main, p.parse_args(), 1)
