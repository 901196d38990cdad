"""IP-Adapters: CLIP's image encoder, the base, Plus and FaceID layouts, and whole runs of StableDiffusionXLPipeline with them.

All weights are synthetic (`daguerre models synth`), so that the tests can write the same files.
"""

import copy
import pathlib
import subprocess
import tempfile

import numpy as np
import torch
from diffusers import StableDiffusionXLControlNetPipeline, StableDiffusionXLPipeline
from diffusers.image_processor import IPAdapterMaskProcessor
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

import control
import runs
import store as files

SEEDS = {"image-encoder": 31, "ip-adapter": 32, "ip-adapter-plus": 33, "ip-adapter-faceid": 34, "ip-adapter-faceid-plus": 35}
STYLE = {"down": {"block_2": [0.0, 9.0]}, "up": {"block_0": [0.0, 9.0, 0.0]}}  # InstantStyle's blocks; random weights need much
BASE, PLUS, FACE, FACE_PLUS = "ip-adapter", "ip-adapter-plus", "ip-adapter-faceid", "ip-adapter-faceid-plus"
RUNS = {
    "base": dict(seed=42, adapters=[dict(kind=BASE, pictures=["one"], weight=0.8)]),
    "plus": dict(seed=7, adapters=[dict(kind=PLUS, pictures=["one", "two"], weight=0.6, start=0.2, end=0.7)]),
    "two": dict(seed=5, num_images=2, adapters=[dict(kind=BASE, pictures=["two"], weight=0.5),
                                                dict(kind=PLUS, pictures=["one"], weight=0.9)]),
    "style": dict(seed=3, adapters=[dict(kind=PLUS, pictures=["two"], blocks=STYLE)]),
    "mid": dict(seed=9, adapters=[dict(kind=BASE, pictures=["two"], blocks={"mid": 9.0, "down": 6.0})]),
    "masks": dict(seed=11, width=192, adapters=[dict(kind=PLUS, pictures=["one", "two"], weight=0.9, masks=["left", "right"])]),
    "plain": dict(seed=8, guidance_scale=1.0, adapters=[dict(kind=BASE, pictures=["one"], weight=0.7)]),
    "face": dict(seed=6, adapters=[dict(kind=FACE, faces="faces", weight=0.7)]),
    "face_plus": dict(seed=4, adapters=[dict(kind=FACE_PLUS, faces="faces", pictures=["one", "two"], weight=0.7)]),
    "face_plus_v2": dict(seed=4, adapters=[dict(kind=FACE_PLUS, faces="faces", pictures=["one", "two"], weight=0.7, shortcut=1.0)]),
    "control": dict(seed=2, net="one", adapters=[dict(kind=BASE, pictures=["one"], weight=0.6)]),
}


def synth(kind):
    """The tensors of a synthetic file in h94's layout, widened to F32."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.safetensors"
        subprocess.run(["go", "run", "./cli/daguerre", "models", "synth", "--kind", f"nano-{kind}", "--seed", str(SEEDS[kind]), "--quiet",
                        "-o", str(path)], cwd=files.ROOT, check=True)
        return {k: v.float() for k, v in load_file(path).items()}


def adapter(kind):
    tensors = synth(kind)
    return {half: {k.removeprefix(half + "."): v for k, v in tensors.items() if k.startswith(half + ".")} for half in ("image_proj", "ip_adapter")}


def image_encoder():
    config = CLIPVisionConfig(hidden_size=64, intermediate_size=128, projection_dim=48, num_hidden_layers=3, num_attention_heads=1,
                              image_size=32, patch_size=8, hidden_act="gelu")
    net = CLIPVisionModelWithProjection(config)
    missing, unexpected = net.load_state_dict(synth("image-encoder"), strict=False)
    assert not unexpected and all(k.endswith("position_ids") for k in missing), (missing, unexpected)
    return net.eval()


def pictures(store):
    """Two pictures to show: one wider than high, one higher than wide; and masks of the halves."""
    y, x = np.mgrid[:90, :140]
    one = np.stack([x * 255 // 139, y * 255 // 89, (x * y) % 256], -1).astype(np.uint8)
    y, x = np.mgrid[:75, :50]
    two = np.stack([255 - x * 5, ((x // 9 + y // 9) % 2) * 200, y * 3], -1).astype(np.uint8)
    out = {}
    for name, pixels in dict(one=one, two=two).items():
        store.picture(f"input_ip_{name}", pixels, f"picture {name} of IP-Adapters")
        out[name] = Image.fromarray(pixels)
    y, x = np.mgrid[:128, :192]
    for name, mask in dict(left=x + y // 8 < 92, right=x + y // 8 >= 92).items():
        pixels = mask.astype(np.uint8) * 255
        store.picture(f"input_ip_mask_{name}", pixels, f"mask {name} of IP-Adapters: 255 is where the picture counts")
        out[name] = Image.fromarray(pixels)
    generator = torch.Generator().manual_seed(17)
    out["faces"] = torch.randn(2, 32, generator=generator)
    store.array("input_ip_faces", out["faces"], "two faces' embeddings for FaceID")
    return out


def embeddings(store, net, processor, images):
    pixels = processor([images["one"], images["two"]], return_tensors="pt").pixel_values
    store.array("ip_pixels", pixels, "pictures one and two as CLIPImageProcessor makes them for an encoder of 32 x 32")
    out = net(pixels, output_hidden_states=True)
    store.array("ip_embeds", out.image_embeds, "their embeddings")
    store.array("ip_hidden", out.hidden_states[-2], "their hidden states, as Plus takes them")


def picked(pipe, spec, images):
    """What the pipeline is given for the adapters of a run."""
    given = []
    for i, a in enumerate(spec["adapters"]):
        if "faces" in a:
            faces = images[a["faces"]][None]
            given.append(torch.cat([torch.zeros_like(faces), faces]) if spec["guidance_scale"] > 1 else faces)
            if "pictures" in a:  # as diffusers' documentation of FaceID Plus does
                shown, hidden = [images[p] for p in a["pictures"]], True
                positive, negative = pipe.encode_image(shown, "cpu", 1, hidden)
                layer = pipe.unet.encoder_hid_proj.image_projection_layers[i]
                layer.clip_embeds = torch.cat([negative[None], positive[None]])
                layer.shortcut, layer.shortcut_scale = "shortcut" in a, a.get("shortcut", 1.0)
            continue
        given.append(one_adapter(pipe, i, [images[p] for p in a["pictures"]], spec["guidance_scale"] > 1))
    return given


def one_adapter(pipe, i, shown, guidance):
    """pipe.prepare_ip_adapter_image_embeds, for one adapter among several."""
    hidden = type(pipe.unet.encoder_hid_proj.image_projection_layers[i]).__name__ != "ImageProjection"
    positive, negative = pipe.encode_image(shown, "cpu", 1, hidden)
    return torch.cat([negative[None], positive[None]]) if guidance else positive[None]


def scales_at(spec, step, steps):
    """set_ip_adapter_scale's argument in a step, as start and end say."""
    out = []
    for a in spec["adapters"]:
        acts = step / steps >= a.get("start", 0) and (step + 1) / steps <= a.get("end", 1)
        out.append((a["blocks"] if "blocks" in a else a["weight"]) if acts else 0.0)
    return out


def with_adapters(kind, base, unet, spec, parts, steps, **more):
    """A pipeline with a UNet of its own, which takes the processors of a run's adapters; and what its steps end with.

    start and end are fractions of `steps`.
    """
    pipe = kind(vae=base.vae, text_encoder=base.text_encoder, text_encoder_2=base.text_encoder_2, tokenizer=base.tokenizer,
                tokenizer_2=base.tokenizer_2, unet=copy.deepcopy(unet), scheduler=type(base.scheduler).from_config(base.scheduler.config),
                image_encoder=parts["encoder"], feature_extractor=parts["processor"], add_watermarker=False,
                force_zeros_for_empty_prompt=base.config.force_zeros_for_empty_prompt, **more)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_ip_adapter([parts[a["kind"]] for a in spec["adapters"]], subfolder="", weight_name=["" for _ in spec["adapters"]], low_cpu_mem_usage=False)

    def after(pipe, step, timestep, kwargs):
        pipe.set_ip_adapter_scale(scales_at(spec, step + 1, steps))
        return kwargs

    pipe.set_ip_adapter_scale(scales_at(spec, 0, steps))
    return pipe, after


def all_parts():
    parts = {k: adapter(k) for k in (BASE, PLUS, FACE, FACE_PLUS)}
    parts["encoder"] = image_encoder()
    parts["processor"] = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return parts


def file_names(spec):
    return {k: f"daguerre models synth --kind nano-{k} --seed {SEEDS[k]}" for k in ["image-encoder", *(a["kind"] for a in spec["adapters"])]}


def one(store, base, name, run, images, parts):
    spec = dict(prompt=runs.RED, negative_prompt=None, guidance_scale=5.0, num_inference_steps=10, width=128, height=128, num_images=1)
    spec.update(run)
    kind, more = StableDiffusionXLPipeline, {}
    if "net" in spec:
        kind, more = StableDiffusionXLControlNetPipeline, dict(controlnet=control.control_net("nano-controlnet", control.SEEDS[spec["net"]]))
    pipe, after = with_adapters(kind, base, base.unet, spec, parts, spec["num_inference_steps"], **more)
    args = {k: spec[k] for k in ("prompt", "negative_prompt", "guidance_scale", "num_inference_steps", "width", "height")}
    if "net" in spec:
        args.update(image=images["control"], controlnet_conditioning_scale=0.8)
    masks = [a.get("masks") for a in spec["adapters"]]
    if any(masks):
        made = IPAdapterMaskProcessor().preprocess([images[m] for m in masks[0]], height=spec["height"], width=spec["width"])
        args["cross_attention_kwargs"] = dict(ip_adapter_masks=[made.reshape(1, made.shape[0], made.shape[2], made.shape[3])])
    generators = [torch.Generator().manual_seed(spec["seed"] + i) for i in range(spec["num_images"])]
    latents = pipe(num_images_per_prompt=spec["num_images"], generator=generators, output_type="latent", callback_on_step_end=after,
                   ip_adapter_image_embeds=picked(pipe, spec, images), **args).images
    store.array(f"run_ip_{name}_latents", latents, f"run ip_{name}: latents after the last step")
    spec["files"] = file_names(spec)
    store.json(f"run_ip_{name}", spec, f"run ip_{name}: the request")


def make(store, pipe):
    images = pictures(store)
    images["control"] = Image.open(store.folder / "input_control_one.png").convert("RGB")
    parts = all_parts()
    embeddings(store, parts["encoder"], parts["processor"], images)
    for name, run in RUNS.items():
        one(store, pipe, name, run, images, parts)
