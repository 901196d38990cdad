"""The trained models beside the nano base: refiner, ControlNet and tiny autoencoder.

The runs are those of refiner.py and control.py, whose nets are synthetic. Both nets of a run with two are the same file; their
pictures show the same heart, so that what they ask for agrees.
"""

import data
import numpy as np
import torch
from PIL import Image

import arch
import control
import refiner
import store as files
import to_diffusers
import train_controlnet

FOLDER = files.MODEL.parent
REFINER, CONTROL, TINY = (f"nano-{name}" for name in ("refiner.safetensors.gz", "controlnet-canny.safetensors", "taesd.safetensors"))
PROMPT = "a green heart on an orange background"
CONTROLLED = {
    "nano_control": dict(seed=42, nets=["edges"], weights=[1.0], starts=[0.0], ends=[1.0]),
    "nano_control_two": dict(seed=7, nets=["edges", "edges_two"], weights=[0.7, 0.5], starts=[0.0, 0.2], ends=[0.6, 1.0]),
    "nano_control_guess": dict(seed=5, nets=["edges"], weights=[1.0], starts=[0.0], ends=[1.0], control_mode="control"),
    "nano_control_range": dict(seed=9, nets=["edges"], weights=[0.9], starts=[0.1], ends=[0.7]),
}
HEART = dict(shape="heart", cx=46.0, cy=74.0, radius=30.0)


def pictures(store):
    """Edges of a heart, and of the same 1 px smaller."""
    out = {}
    for name, radius in (("edges", HEART["radius"]), ("edges_two", HEART["radius"] - 1)):
        line = train_controlnet.edges([HEART | dict(radius=radius)])[0, 0].numpy()
        pixels = np.stack([line] * 3, -1)
        store.picture(f"input_control_{name}", pixels, "edges of a heart for the nano ControlNet")
        out[name] = Image.fromarray(pixels)
    return out


def taesd(store):
    tiny = arch.make_tiny()
    tiny.load_state_dict({k: v.float() for k, v in to_diffusers.read(FOLDER / TINY)[0].items()})
    scene = HEART | dict(colour="green", background="orange")
    pixels = data.render([scene], 3).float() / 127.5 - 1
    latents = torch.from_numpy(np.load(store.folder / "run_nano_control_latents.npy"))
    store.array("nano_taesd_pixels", pixels, "a drawn heart, [-1, 1]")
    store.array("nano_taesd_encoded", tiny.encode(pixels).latents, "the nano autoencoder's encoding of nano_taesd_pixels")
    store.array("nano_taesd_decoded", tiny.decode(latents).sample, "the nano autoencoder's decoding of run_nano_control_latents")


def make(store, base):
    second = to_diffusers.refiner(FOLDER / REFINER, base)
    for name, run in refiner.RUNS.items():
        refiner.one(store, base, second, f"nano_{name}", run, f"models/nano/{REFINER}")
    net = to_diffusers.controlnet(FOLDER / CONTROL, base).controlnet
    images = pictures(store)
    for name, run in CONTROLLED.items():
        control.one(store, base, name, run | dict(prompt=PROMPT), {k: net for k in images}, images, lambda _: f"models/nano/{CONTROL}")
    taesd(store)
