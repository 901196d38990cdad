"""Adapters in every layout and algorithm, and where the nano model goes with them: EulerDiscrete, 20 steps, guidance 5.

Each adapter is drawn from a seed, written as its program would write it, and applied by adding its change to the weights
(W + weight * delta, in float64). Where diffusers and peft read the layout themselves, they must agree.
"""

import copy
import io
import pathlib
import re
import tempfile
import zlib

import safetensors.torch
import torch

PROMPT, SEED, STEPS, GUIDANCE = "a red circle on a blue background", 42, 20, 5.0
STRENGTH = {"unet": 3.0, "text": 1.0}  # norm of a change, relative to the weight it changes

ATTENTIONS = ["unet.down_blocks.1.attentions.0", "unet.mid_block.attentions.0", "unet.up_blocks.0.attentions.1"]
INNER = ["attn1.to_q", "attn1.to_v", "attn2.to_k", "attn2.to_out.0", "ff.net.2"]
LINEAR = [f"{a}.transformer_blocks.0.{i}" for a in ATTENTIONS for i in INNER] + [f"{a}.proj_in" for a in ATTENTIONS]
TEXT = ["text_encoder.text_model.encoder.layers.1.self_attn.q_proj", "text_encoder.text_model.encoder.layers.0.mlp.fc1",
        "text_encoder_2.text_model.encoder.layers.1.self_attn.out_proj", "text_encoder_2.text_model.encoder.layers.0.mlp.fc2"]
CONV = ["unet.down_blocks.1.resnets.0.conv1", "unet.up_blocks.1.resnets.2.conv2", "unet.down_blocks.0.downsamplers.0.conv",
        "unet.up_blocks.0.upsamplers.0.conv"]
POINT = ["unet.down_blocks.1.resnets.0.conv_shortcut", "unet.up_blocks.2.resnets.1.conv_shortcut"]
TIME = ["unet.mid_block.resnets.0.time_emb_proj", "unet.time_embedding.linear_2"]
NORM = ["unet.down_blocks.1.resnets.0.norm2", "unet.mid_block.attentions.0.norm", "unet.up_blocks.0.attentions.1.transformer_blocks.0.norm2"]


def module_of(pipe, name):
    component, rest = name.split(".", 1)
    module = getattr(pipe, component)
    if component != "unet" and not hasattr(module, "text_model"):
        rest = rest.removeprefix("text_model.")
    return module.get_submodule(rest)


# ---- names ----

def kohya(name):
    component, rest = name.split(".", 1)
    return {"unet": "lora_unet_", "text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}[component] + rest.replace(".", "_")


def original(name):
    """The original layout's name of a UNet module: three blocks per level."""
    component, rest = name.split(".", 1)
    if component != "unet":
        return name
    parts = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
             "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
    rest = re.sub(r"(resnets\.\d+)\.(\w+)$", lambda m: f"{m[1]}.{parts[m[2]]}", rest)
    rest = rest.replace("time_embedding.linear_1", "time_embed.0").replace("time_embedding.linear_2", "time_embed.2")
    rest = rest.replace("mid_block.attentions.0", "middle_block.1").replace("mid_block.resnets.0", "middle_block.0").replace("mid_block.resnets.1", "middle_block.2")
    rest = re.sub(r"down_blocks\.(\d)\.downsamplers\.0\.conv", lambda m: f"input_blocks.{3 * int(m[1]) + 3}.0.op", rest)
    rest = re.sub(r"up_blocks\.(\d)\.upsamplers\.0\.conv", lambda m: f"output_blocks.{3 * int(m[1]) + 2}.2.conv", rest)
    rest = re.sub(r"down_blocks\.(\d)\.(resnets|attentions)\.(\d)", lambda m: f"input_blocks.{3 * int(m[1]) + int(m[3]) + 1}.{int(m[2] == 'attentions')}", rest)
    rest = re.sub(r"up_blocks\.(\d)\.(resnets|attentions)\.(\d)", lambda m: f"output_blocks.{3 * int(m[1]) + int(m[3])}.{int(m[2] == 'attentions')}", rest)
    return "unet." + rest


def processor(name):
    """Attention processors of diffusers before 0.17; only attention has them."""
    head, last = re.match(r"(.*\.attn\d)\.(to_q|to_k|to_v|to_out)", name).groups()
    return f"{head}.processor.{last}_lora"


OMI = {"unet": "unet", "text_encoder": "clip_l.transformer", "text_encoder_2": "clip_g.transformer"}
LAYOUTS = {  # module's name, and the suffixes of down, up and alpha
    "kohya": (kohya, ".lora_down.weight", ".lora_up.weight", ".alpha"),
    "kohya-original": (lambda n: kohya(original(n)), ".lora_down.weight", ".lora_up.weight", ".alpha"),
    "diffusers": (lambda n: n, ".lora_A.weight", ".lora_B.weight", None),
    "peft": (lambda n: "base_model.model." + n, ".lora_A.weight", ".lora_B.weight", None),
    "diffusers-old": (lambda n: n, ".lora.down.weight", ".lora.up.weight", None),
    "processors": (processor, ".down.weight", ".up.weight", None),
    "onetrainer": (lambda n: kohya(n).split("_", 2)[0] + "_" + kohya(n).split("_", 2)[1] + "." + n.split(".", 1)[1], ".lora_down.weight", ".lora_up.weight", ".alpha"),
    "onetrainer-omi": (lambda n: OMI[n.split(".", 1)[0]] + "." + original(n).split(".", 1)[1], ".lora_down.weight", ".lora_up.weight", ".alpha"),
    "ai-toolkit": (lambda n: n.replace("unet.", "diffusion_model.", 1), ".lora_A.weight", ".lora_B.weight", None),
    "lycoris": (lambda n: kohya(n).replace("lora_unet_", "lycoris_"), ".lora_down.weight", ".lora_up.weight", ".alpha"),
}


# ---- algorithms: tensors by suffix, and the change of the weight ----

class Draw:
    """Numbers of one module, and the weight they are for."""

    def __init__(self, case, module, weight):
        self.g = torch.Generator().manual_seed(zlib.crc32(f"{case}/{module}".encode()))
        self.weight = weight.double()
        self.shape = weight.shape
        self.strength = STRENGTH[module[:4]]

    def __call__(self, *shape):
        return torch.randn(*shape, generator=self.g, dtype=torch.float64)


def halved(x):
    return x.half().double()


def settle(draw, parts, key, delta):
    """Scale the part `key` so that the change has its strength, round all to F16, and compute the change of what is stored."""
    parts[key] = parts[key] * draw.strength * draw.weight.norm() / delta(parts).norm()
    parts = {k: halved(v) for k, v in parts.items()}
    return parts, delta(parts)


def lora(draw, rank=4, alpha=None, tucker=False):
    out, cols, kernel = draw.shape[0], draw.shape[1], draw.shape[2:]
    parts = {"down": draw(rank, cols, *kernel), "up": draw(out, rank, *[1] * len(kernel))}
    if tucker:
        parts["down"], parts["mid"] = draw(rank, cols, 1, 1), draw(rank, rank, *kernel)
    if alpha is not None:
        parts["alpha"] = torch.tensor(float(alpha), dtype=torch.float64)
    scale = 1.0 if alpha is None else alpha / rank

    def delta(p):
        if tucker:
            return scale * torch.einsum("or,rskl,si->oikl", p["up"][..., 0, 0], p["mid"], p["down"][..., 0, 0])
        return scale * (p["up"].flatten(1) @ p["down"].flatten(1)).reshape(draw.shape)

    return settle(draw, parts, "up", delta)


def loha(draw, rank=2, alpha=1.0, tucker=False):
    out, cols, kernel = draw.shape[0], draw.shape[1], draw.shape[2:]
    if tucker:
        parts = {f"hada_w{i}_a": draw(rank, out) for i in (1, 2)} | {f"hada_w{i}_b": draw(rank, cols) for i in (1, 2)}
        parts |= {f"hada_t{i}": draw(rank, rank, *kernel) for i in (1, 2)}
        half = lambda p, i: torch.einsum("ijkl,jr,ip->prkl", p[f"hada_t{i}"], p[f"hada_w{i}_b"], p[f"hada_w{i}_a"])
    else:
        width = cols * kernel.numel()
        parts = {f"hada_w{i}_a": draw(out, rank) for i in (1, 2)} | {f"hada_w{i}_b": draw(rank, width) for i in (1, 2)}
        half = lambda p, i: (p[f"hada_w{i}_a"] @ p[f"hada_w{i}_b"]).reshape(draw.shape)
    parts["alpha"] = torch.tensor(alpha, dtype=torch.float64)
    return settle(draw, parts, "hada_w1_a", lambda p: alpha / rank * half(p, 1) * half(p, 2))


def lokr(draw, rank=2, alpha=1.0, factor=8, first=False, second=False, tucker=False):
    """first, second: which factors are products."""
    out, cols, kernel = draw.shape[0], draw.shape[1], draw.shape[2:]
    a, c, b, d = factor, out // factor, 4, cols // 4
    parts = {"lokr_w1_a": draw(a, rank), "lokr_w1_b": draw(rank, b)} if first else {"lokr_w1": draw(a, b)}
    if tucker:
        parts |= {"lokr_t2": draw(rank, rank, *kernel), "lokr_w2_a": draw(rank, c), "lokr_w2_b": draw(rank, d)}
    elif second:
        parts |= {"lokr_w2_a": draw(c, rank), "lokr_w2_b": draw(rank, d * kernel.numel())}
    else:
        parts["lokr_w2"] = draw(c, d, *kernel)
    parts["alpha"] = torch.tensor(alpha, dtype=torch.float64)
    scale = alpha / rank if first or second or tucker else 1.0

    def delta(p):
        w1 = p["lokr_w1_a"] @ p["lokr_w1_b"] if first else p["lokr_w1"]
        if tucker:
            w2 = torch.einsum("ijkl,ip,jr->prkl", p["lokr_t2"], p["lokr_w2_a"], p["lokr_w2_b"])
        elif second:
            w2 = (p["lokr_w2_a"] @ p["lokr_w2_b"]).reshape(c, d, *kernel)
        else:
            w2 = p["lokr_w2"]
        return scale * torch.kron(w1.reshape(a, b, *[1] * len(kernel)), w2.contiguous())

    return settle(draw, parts, "lokr_w1_a" if first else "lokr_w1", delta)


def ia3(draw, on_input=False):
    n = draw.shape[1] if on_input else draw.shape[0]
    parts = {"weight": draw(n), "on_input": torch.tensor(float(on_input), dtype=torch.float64)}
    along = (1, n, *[1] * (len(draw.shape) - 2)) if on_input else (n, *[1] * (len(draw.shape) - 1))
    return settle(draw, parts, "weight", lambda p: draw.weight * p["weight"].reshape(along))


def full(draw):
    return settle(draw, {"diff": draw(*draw.shape)}, "diff", lambda p: p["diff"])


def dora(draw, inputs=False, peft=False):
    """Magnitudes of the changed weight's rows (or columns), each changed by a few percent."""
    parts, change = lora(draw, alpha=None if peft else 2.0)

    def norms(w):
        flat = w.transpose(0, 1).flatten(1) if inputs else w.flatten(1)
        return flat.norm(dim=1).reshape((1, -1, *[1] * (w.dim() - 2)) if inputs else (-1, *[1] * (w.dim() - 1)))

    changed = draw.weight + change
    size = norms(changed)
    magnitude = halved(size * (1 + 0.3 * draw(*size.shape)))
    parts["lora_magnitude_vector" if peft else "dora_scale"] = magnitude.flatten() if peft else magnitude
    return parts, magnitude * changed / size - draw.weight


# ---- cases: layout, and algorithm for each module; reference "diffusers" where it reads the file itself ----

CASES = {
    "kohya": dict(layout="kohya", modules=[(LINEAR + TEXT, lambda d: lora(d, alpha=2.0))], diffusers=True, weight=0.8),
    "kohya_original": dict(layout="kohya-original", modules=[(LINEAR + TEXT, lambda d: lora(d, alpha=1.0))], diffusers=True, weight=1.0),
    "kohya_pt": dict(layout="kohya", modules=[(LINEAR[:8] + TEXT, lora)], file="pt", weight=1.0),
    "kohya_legacy": dict(layout="kohya", modules=[(LINEAR[:8], lora)], file="legacy", weight=-0.7),
    "diffusers": dict(layout="diffusers", modules=[(LINEAR + TEXT, lora)], diffusers=True, weight=1.0),
    "peft": dict(layout="peft", modules=[(LINEAR + TEXT, lora)], weight=0.9),
    "diffusers_old": dict(layout="diffusers-old", modules=[(LINEAR, lora)], diffusers=True, weight=1.0),
    "processors": dict(layout="processors", modules=[([n for n in LINEAR if ".attn" in n], lora)], file="legacy", weight=1.0),
    "onetrainer": dict(layout="onetrainer", modules=[(LINEAR + TEXT, lambda d: lora(d, alpha=3.0))], weight=1.0),
    "onetrainer_omi": dict(layout="onetrainer-omi", modules=[(LINEAR + TEXT, lambda d: lora(d, alpha=3.0))], weight=1.0),
    "ai_toolkit": dict(layout="ai-toolkit", modules=[(LINEAR, lora)], weight=1.0),
    "lcm": dict(layout="kohya", modules=[(LINEAR + CONV + POINT + TIME, lambda d: lora(d, alpha=4.0))], diffusers=True, weight=1.0),
    "locon": dict(layout="kohya-original", modules=[(LINEAR[:4], lambda d: lora(d, alpha=1.0)), (POINT, lora), (CONV, lambda d: lora(d, rank=3, alpha=1.0))], weight=1.0),
    "locon_tucker": dict(layout="lycoris", modules=[(CONV, lambda d: lora(d, alpha=1.0, tucker=True))], weight=1.0),
    "loha": dict(layout="lycoris", modules=[(LINEAR, loha), (CONV[:1], loha)], weight=1.0),
    "loha_dense": dict(layout="kohya", modules=[(LINEAR[:5], lambda d: loha(d, rank=8, alpha=4.0))], weight=1.0),
    "loha_tucker": dict(layout="kohya", modules=[(CONV, lambda d: loha(d, tucker=True))], weight=0.9),
    "lokr": dict(layout="lycoris", modules=[(LINEAR, lokr), (CONV[:2], lokr), (POINT, lokr)], weight=1.0),
    "lokr_factored": dict(layout="kohya", modules=[(LINEAR[:6], lambda d: lokr(d, second=True)), (LINEAR[6:12], lambda d: lokr(d, first=True)),
                                                   (LINEAR[12:] + CONV[:2], lambda d: lokr(d, first=True, second=True))], weight=1.0),
    "lokr_tucker": dict(layout="kohya", modules=[(CONV, lambda d: lokr(d, tucker=True))], weight=1.0),
    "ia3": dict(layout="lycoris", modules=[(LINEAR[:8], ia3), (LINEAR[8:], lambda d: ia3(d, on_input=True)), (CONV[:2], ia3), (CONV[2:], lambda d: ia3(d, on_input=True))], weight=1.0),
    "full": dict(layout="kohya", modules=[(LINEAR[:3] + POINT, full), (CONV[:1], full)], norms=True, weight=1.0),
    # diffusers 0.42 takes no notice of kohya's dora_scale; of its own names it does.
    "dora": dict(layout="kohya", modules=[(LINEAR + TEXT, dora)], weight=1.0),
    "dora_diffusers": dict(layout="diffusers", modules=[(LINEAR, lambda d: dora(d, peft=True))], diffusers=True, weight=1.0),
    "dora_part": dict(layout="kohya", modules=[(LINEAR, dora), (CONV[:2], dora)], weight=0.6),
    "dora_inputs": dict(layout="kohya", modules=[(LINEAR, lambda d: dora(d, inputs=True)), (CONV[:2], lambda d: dora(d, inputs=True))], weight=0.8),
    "dora_peft": dict(layout="peft", modules=[(LINEAR, lambda d: dora(d, peft=True))], weight=1.0),
}
STACK = {"kohya": 0.5, "diffusers": 0.4, "locon": 0.5, "loha": -0.4, "lokr": 0.5, "ia3": 0.4, "full": 0.5, "dora_part": 0.6}


class Adapter:
    """tensors as the file has them, and changes: {(module, "weight" or "bias"): delta}."""

    def __init__(self, pipe, name):
        case = CASES[name]
        naming, down, up, alpha = LAYOUTS[case["layout"]]
        suffix = {"down": down, "up": up, "alpha": alpha, "mid": ".lora_mid.weight"}
        self.tensors, self.changes = {}, {}
        for modules, algorithm in case["modules"]:
            for m in modules:
                parts, delta = algorithm(Draw(name, m, module_of(pipe, m).weight))
                for part, value in parts.items():
                    self.tensors[naming(m) + (suffix.get(part) or "." + part)] = value.half().contiguous()
                self.changes[m, "weight"] = delta
        if case.get("norms"):
            self.add_norms(pipe, name, naming)

    def add_norms(self, pipe, name, naming):
        for m in NORM:
            module, draw = module_of(pipe, m), Draw(name, m, module_of(pipe, m).weight)
            for part, suffix in (("weight", ".w_norm"), ("bias", ".b_norm")):
                delta = halved(0.5 * draw(*draw.shape))
                self.tensors[naming(m) + suffix] = delta.half()
                self.changes[m, part] = delta
            assert module.bias is not None
        m = CONV[1]
        self.changes[m, "bias"] = halved(0.5 * Draw(name + "/bias", m, module_of(pipe, m).bias)(module_of(pipe, m).bias.shape[0]))
        self.tensors[naming(m) + ".diff_b"] = self.changes[m, "bias"].half()


def merged(pipe, adapters):
    """The pipeline's parameters with weight * change added, and what they were before."""
    before = {}
    for adapter, weight in adapters:
        for (m, part), delta in adapter.changes.items():
            parameter = getattr(module_of(pipe, m), part)
            before.setdefault((m, part), parameter.data.clone())
    for (m, part), old in before.items():
        total = old.double() + sum(w * a.changes[m, part] for a, w in adapters if (m, part) in a.changes)
        getattr(module_of(pipe, m), part).data = total.float()
    return before


def restore(pipe, before):
    for (m, part), old in before.items():
        getattr(module_of(pipe, m), part).data = old


def latents(pipe):
    return pipe(PROMPT, num_inference_steps=STEPS, guidance_scale=GUIDANCE, width=128, height=128, output_type="latent",
                generator=torch.Generator().manual_seed(SEED)).images


def explicit(pipe, adapters):
    before = merged(pipe, adapters)
    out = latents(pipe)
    restore(pipe, before)
    return out


def by_diffusers(pipe, path, weight):
    pipe.load_lora_weights(path, adapter_name="a")
    pipe.set_adapters(["a"], [weight])
    out = latents(pipe)
    pipe.unload_lora_weights()
    return out


def agreement(pipe, name, adapter, weight):
    """The distance to what diffusers makes of the UNet's part (it cannot load text encoders' adapters with transformers 5)."""
    part = copy.copy(adapter)
    part.changes = {k: v for k, v in adapter.changes.items() if k[0].startswith("unet.")}
    tensors = {k: v for k, v in adapter.tensors.items() if not k.startswith(("lora_te", "text_encoder"))}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "a.safetensors")
        path.write_bytes(encode(name, tensors)[1])
        return distance(by_diffusers(pipe, str(path), weight), explicit(pipe, [(part, weight)]))


def encode(name, tensors):
    kind = CASES[name].get("file", "safetensors")
    if kind == "safetensors":
        return ".safetensors", safetensors.torch.save(tensors, {"format": "pt", "ss_base_model_version": "sdxl_base_v1-0"})
    buffer = io.BytesIO()
    torch.save(tensors, buffer, _use_new_zipfile_serialization=kind == "pt")
    return ".pt", buffer.getvalue()


def distance(a, b):
    return float((a - b).norm() / b.norm())


def make(store, pipe):
    base = latents(pipe)
    store.array("lora_none_latents", base, "adapters: final latents without any")
    adapters, cases = {}, {}
    for name, case in CASES.items():
        adapters[name] = a = Adapter(pipe, name)
        extension, data = encode(name, a.tensors)
        file = f"lora_{name}{extension}"
        store.bytes(file, data, f"adapter {name}: {case['layout']} names, {len(a.tensors)} tensors")
        out = explicit(pipe, [(a, case["weight"])])
        entry = dict(file=file, layout=case["layout"], weight=case["weight"], tensors=len(a.tensors), modules=len({m for m, _ in a.changes}),
                     reference="W + weight * delta", effect=round(distance(out, base), 4))
        assert entry["effect"] > 0.01, (name, entry)
        if case.get("diffusers"):
            entry["diffusers"] = agreement(pipe, name, a, case["weight"])
            assert entry["diffusers"] < 1e-4, (name, entry)
            entry["reference"] += "; diffusers with peft agrees on the UNet's part"
        print(name, entry)
        cases[name] = entry
        store.array(f"lora_{name}_latents", out, f"adapter {name} at weight {case['weight']}: final latents")
    out = explicit(pipe, [(adapters[n], w) for n, w in STACK.items()])
    store.array("lora_stack_latents", out, "stack of eight adapters: final latents")
    print("stack", distance(out, base))
    store.json("lora", dict(prompt=PROMPT, seed=SEED, num_inference_steps=STEPS, guidance_scale=GUIDANCE, cases=cases, stack=STACK),
               "adapters: the request, and each case's file, weight and reference")
