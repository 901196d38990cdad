"""Adapters that depend on the weights they change, as lycoris-lora and peft compute them: EulerDiscrete, 20 steps, guidance 5.

Each is made by its library's own class and merged by it. What no installed version has any more is written out: kohya's OFT, PEFT's
OFT before 0.16, and its series before 0.18. PEFT's live forward must agree with what it merges.
"""

import copy
import types

import safetensors.torch
import torch
from lora import CONV, GUIDANCE, LINEAR, POINT, PROMPT, SEED, STEPS, TEXT, distance, kohya, latents, module_of

FEW = LINEAR[:3] + LINEAR[15:16] + [LINEAR[4]]
WITH_BIAS = ["unet.down_blocks.1.attentions.0.transformer_blocks.0.ff.net.2", "unet.mid_block.attentions.0.proj_in", CONV[0],
             "unet.down_blocks.1.resnets.1.conv1", "unet.mid_block.resnets.0.conv1", "unet.mid_block.resnets.0.time_emb_proj"]


def noise(generator, like, size):
    return (torch.randn(like.shape, generator=generator) * size).half().float()


# ---- LyCORIS ----

def lycoris(pipe, cls, modules, weight, size, g, prefix="lycoris_", **options):
    """Tensors of a file, and the merged weights at a strength."""
    tensors, merged = {}, {}
    for name in modules:
        m = module_of(pipe, name)
        name_in_file = kohya(name).replace("lora_unet_", prefix).replace("lora_te", "lycoris_te")
        a = cls(name_in_file, m, 1.0, **options)
        for key, p in a.named_parameters():
            p.data = noise(g, p, size) + (1.0 if key == "rescale" else 0.0)
            p.data = p.data.half().float()
        state = a.custom_state_dict() if hasattr(a, "custom_state_dict") and cls.name == "glora" else a.state_dict()
        tensors |= {f"{name_in_file}.{k}": v.half() for k, v in state.items() if k in cls.weight_list}
        if "alpha" in state:  # as stored
            a.constraint = float(state["alpha"].half()) * m.weight.shape[0]
        merged[name, "weight"] = a.get_merged_weight(weight)[0].detach().float()
    return tensors, merged


def kohya_oft(pipe, modules, weight, g):
    """networks/oft.py of sd-scripts: a bound that also a file with alpha 0 has."""
    tensors, merged = {}, {}
    for name in modules:
        w = module_of(pipe, name).weight.detach()
        out, blocks, alpha = w.shape[0], 4, torch.tensor(0.03).half().float()
        n = out // blocks
        p = noise(g, torch.empty(blocks, n, n), 0.3)
        base = kohya(name).replace("lora_unet_", "oft_unet_")
        tensors |= {base + ".oft_blocks": p.half(), base + ".alpha": alpha.half()}
        q = p - p.transpose(1, 2)
        norm = q.flatten().norm()
        q = q * ((norm.clamp(max=float(alpha) * out) + 1e-8) / (norm + 1e-8))
        eye = torch.eye(n)
        r = weight * ((eye + q) @ (eye - q).inverse() - eye) + eye
        merged[name, "weight"] = torch.einsum("knm,kn...->km...", r, w.reshape(blocks, n, *w.shape[1:])).reshape(w.shape)
    return tensors, merged


# ---- PEFT ----

def by_peft(pipe, config, modules, g, size, merged_only=False, **options):
    """The same of PEFT, and its live forward's latents, unless that is not what it merges."""
    import peft

    wanted = sorted({n.removeprefix("unet.") for n in modules})
    config = config(target_modules=wanted, **options)
    unet = peft.inject_adapter_in_model(config, copy.deepcopy(pipe.unet))
    layers = {n: unet.get_submodule(n) for n in wanted}
    for layer in layers.values():
        for key in layer.adapter_layer_names:
            parameters = getattr(layer, key)
            for p in [parameters["default"].weight] if isinstance(parameters, torch.nn.ModuleDict) and "default" in parameters else \
                    [parameters["default"]] if "default" in parameters else []:
                one = 1.0 if key in ("ia3_l", "boft_s") else 0.0
                p.data = (noise(g, p, size) + one).half().float()
    tensors = {f"base_model.model.{k}": v.half().contiguous() for k, v in peft.get_peft_model_state_dict(unet).items()}
    out = None
    if not merged_only:
        whole, pipe.unet = pipe.unet, unet
        out = latents(pipe)
        pipe.unet = whole
    merged = {}
    for n, layer in layers.items():
        layer.merge()
        base = layer.get_base_layer()
        merged["unet." + n, "weight"] = base.weight.detach().float()
        if base.bias is not None:
            merged["unet." + n, "bias"] = base.bias.detach().float()
    text = {k: sorted(v) if isinstance(v, set) else getattr(v, "value", v) for k, v in config.to_dict().items()}
    return tensors, merged, out, {k: v for k, v in text.items() if v is not None and k != "target_modules"}


def all_butterflies():
    """PEFT computes more than one butterfly only where its CUDA extension can be built; this stands in for it."""
    import peft.tuners.boft.layer as boft

    boft._FBD_CUDA = types.SimpleNamespace(
        forward=lambda x: [torch.stack([torch.block_diag(*torch.unbind(one)) for one in x])])


def old_oft(pipe, modules, g, config, factors=False, series=False):
    """PEFT up to 0.13 turns outputs, 0.14 and 0.15 turn inputs and have factors (oft_s); 0.16 and 0.17 pack and have an older series."""
    tensors, merged = {}, {}
    for name in modules:
        w = module_of(pipe, name).weight.detach().double()
        flat = w.flatten(1)
        dim = flat.shape[1] if factors or series else flat.shape[0]
        n = dim // 8
        base, eye = "base_model.model." + name.removeprefix("unet."), torch.eye(n, dtype=torch.float64)
        if series:
            v = noise(g, torch.empty(8, n * (n - 1) // 2), 0.1)
            tensors[base + ".oft_R.weight"] = v.half()
            rows, cols = torch.triu_indices(n, n, 1)
            q = torch.zeros(8, n, n, dtype=torch.float64)
            q[:, rows, cols] = v.double()
            q = q - q.transpose(1, 2)
            r = eye + 2 * q + 2 * q @ q + 2 * q @ q @ q + 2 * q @ q @ q @ q
        else:
            p = noise(g, torch.empty(8, n, n), 0.3)
            tensors[base + ".oft_r"] = p.half()
            p = p.double()
            if config["coft"]:
                norm, eps = p.norm(dim=(1, 2), keepdim=True), config["eps"] * (flat.shape[0] // 8) ** 2 / 8 ** 0.5
                p = torch.where(norm <= eps, p, eps * p / norm)
            q = 0.5 * (p - p.transpose(1, 2))
            r = (eye - q) @ (eye + q).inverse()
        r = torch.block_diag(*torch.unbind(r))
        new = flat @ r.T if factors or series else r.T @ flat
        if factors:
            s = 1 + noise(g, torch.empty(flat.shape[0], 1), 0.1)
            s = s.half()
            tensors[base + ".oft_s"] = s
            new = new * s.double()
        merged[name, "weight"] = new.reshape(w.shape).float()
    return tensors, merged, None, config


def cases(pipe):
    from lycoris.modules.boft import ButterflyOFTModule
    from lycoris.modules.diag_oft import DiagOFTModule
    from lycoris.modules.glora import GLoRAModule
    from peft import BOFTConfig, IA3Config, OFTConfig

    g = torch.Generator().manual_seed(17)
    all_butterflies()

    def ly(cls, modules, weight, size=0.05, **options):
        return *lycoris(pipe, cls, modules, weight, size, g, **options), None, None

    yield "oft", 0.7, ly(DiagOFTModule, FEW + CONV[:2] + POINT[:1] + TEXT[:2], 0.7, lora_dim=8)
    yield "oft_rescaled", 1.0, ly(DiagOFTModule, LINEAR + CONV[:1], 1.0, 0.2, lora_dim=4, constraint=0.03, rescaled=True)
    yield "oft_kohya", 0.8, (*kohya_oft(pipe, LINEAR + CONV[:2], 0.8, g), None, None)
    yield "boft", 0.6, ly(ButterflyOFTModule, FEW + CONV[:2] + TEXT[:1], 0.6, lora_dim=8)
    yield "boft_rescaled", 1.0, ly(ButterflyOFTModule, FEW + CONV[:1], 1.0, 0.1, lora_dim=4, rescaled=True)
    yield "glora", 0.8, ly(GLoRAModule, FEW + CONV[:2] + POINT[:1] + TEXT[:1], 0.8, 0.15, lora_dim=4, alpha=2.0)
    forward = [n.removeprefix("unet.") for n in WITH_BIAS if n.endswith(("ff.net.2", "resnets.1.conv1"))]
    yield "peft_ia3", 1.0, by_peft(pipe, IA3Config, WITH_BIAS + CONV[1:] + FEW[:2], g, 0.5, feedforward_modules=forward)
    yield "peft_oft", 1.0, by_peft(pipe, OFTConfig, LINEAR + POINT[:1], g, 0.05, oft_block_size=8)
    yield "peft_oft_shared", 1.0, by_peft(pipe, OFTConfig, LINEAR, g, 0.3, oft_block_size=8, use_cayley_neumann=False, block_share=True,
                                          coft=True, eps=1.5)
    # Live, PEFT adds up the overlapping patches of wide convolutions; what it merges is what is meant.
    yield "peft_oft_wide", 1.0, by_peft(pipe, OFTConfig, CONV[:2], g, 0.05, True, oft_block_size=9, num_cayley_neumann_terms=3)
    yield "peft_boft", 1.0, by_peft(pipe, BOFTConfig, FEW + CONV[:1] + POINT[:1], g, 0.1, boft_block_size=8, boft_n_butterfly_factor=3)
    yield "peft_oft_013", 1.0, old_oft(pipe, LINEAR + CONV[:1], g, dict(peft_type="OFT", coft=True, eps=0.04))
    yield "peft_oft_015", 1.0, old_oft(pipe, LINEAR + CONV[:1], g, dict(peft_type="OFT", coft=True, eps=0.06), factors=True)
    yield "peft_oft_017", 1.0, old_oft(pipe, LINEAR, g, dict(peft_type="OFT", coft=False, use_cayley_neumann=True,
                                                            num_cayley_neumann_terms=5), series=True)


STACK = {"oft": 0.7, "boft": 0.6, "glora": 0.8, "peft_ia3": 1.0, "peft_boft": 1.0, "oft_rescaled": 1.0}  # as each is merged
HALF = "peft_ia3"


def with_weights(pipe, weights):
    """Latents with W + the sum of changes, of weights and biases."""
    before, total = {}, {}
    for changed in weights:
        for (m, part), (new, share) in changed.items():
            p = getattr(module_of(pipe, m), part)
            before.setdefault((m, part), p.data.clone())
            total.setdefault((m, part), p.data.double().clone())
            total[m, part] += share * (new.double() - before[m, part].double())
    for (m, part), value in total.items():
        getattr(module_of(pipe, m), part).data = value.float()
    out = latents(pipe)
    for (m, part), old in before.items():
        getattr(module_of(pipe, m), part).data = old
    return out


def shared(merged, share=1.0):
    return {k: (v, share) for k, v in merged.items()}


def make(store, pipe):
    base, listed, merged = latents(pipe), {}, {}
    for name, weight, (tensors, merged[name], live, config) in cases(pipe):
        file = f"algo_{name}.safetensors"
        store.bytes(file, safetensors.torch.save(tensors, {"format": "pt"}), f"adapter {name}, {len(tensors)} tensors")
        out = with_weights(pipe, [shared(merged[name])])
        store.array(f"algo_{name}_latents", out, f"adapter {name} at weight {weight}: final latents")
        entry = dict(file=file, weight=weight, tensors=len(tensors), modules=len({m for m, _ in merged[name]}),
                     effect=round(distance(out, base), 4))
        if config is not None:
            entry["config"] = config
        if live is not None:
            entry["live"] = distance(live, out)
            assert entry["live"] < 1e-4, (name, entry)
        print(name, {k: v for k, v in entry.items() if k != "config"})
        assert entry["effect"] > 0.01, (name, entry)
        listed[name] = entry
    store.array("algo_stack_latents", with_weights(pipe, [shared(merged[n]) for n in STACK]), "stack of six of them: final latents")
    store.array("algo_half_latents", with_weights(pipe, [shared(merged[HALF], 0.5)]), f"adapter {HALF} at weight 0.5: final latents")
    store.json("algo", dict(prompt=PROMPT, seed=SEED, num_inference_steps=STEPS, guidance_scale=GUIDANCE, cases=listed, stack=STACK),
               "adapters that depend on the weights: the request, each case's file, weight and PEFT's configuration")
