"""Base and refiner: the ensemble of experts, and the refiner as image-to-image.

The refiner is synthetic (random weights, `daguerre models synth --kind nano-refiner`): the arithmetic of the hand-off is the
same, and the test can write the same file.
"""

import pathlib
import subprocess
import tempfile

import torch
from diffusers import StableDiffusionXLImg2ImgPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import CLIPTextModelWithProjection

import arch
import runs
import store as files

SEED = 5
RUNS = {
    "refiner": dict(seed=42, num_inference_steps=30, refiner_start=0.8),
    "refiner_img2img": dict(seed=7, num_inference_steps=12, refiner_mode="img2img", refiner_strength=0.4, aesthetic_score=7.5,
                            negative_aesthetic_score=1.5, negative_prompt="a green square on a yellow background"),
}


def synth(kind, seed):
    """The tensors of a synthetic model under diffusers' names, widened to F32."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.safetensors"
        subprocess.run(["go", "run", "./cli/daguerre", "models", "synth", "--kind", kind, "--layout", "diffusers", "--seed", str(seed),
                        "--quiet", "-o", str(path)], cwd=files.ROOT, check=True)
        return {k: v.float() for k, v in load_file(path).items()}


def part(tensors, prefix):
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def make_unet():
    channels = (32, 64, 128, 128)
    return UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, block_out_channels=channels, layers_per_block=2,
        down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        transformer_layers_per_block=1, attention_head_dim=tuple(max(1, c // 64) for c in channels),
        cross_attention_dim=arch.TEXT_WIDTH, use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=arch.TEXT_WIDTH + 5 * 256, norm_num_groups=arch.UNET_GROUPS)


def pipeline(base, tensors):
    """A refiner pipeline with its own text encoder and UNet, and the base's scheduler and VAE."""
    unet, text = make_unet(), CLIPTextModelWithProjection(arch.text_configs()[1])
    unet.load_state_dict(part(tensors, "unet."))
    missing, unexpected = text.load_state_dict(part(tensors, "text_encoder_2."), strict=False)
    assert not unexpected and all(k.endswith("position_ids") for k in missing), (missing, unexpected)
    pipe = StableDiffusionXLImg2ImgPipeline(
        vae=base.vae, text_encoder=None, text_encoder_2=text.eval(), tokenizer=None, tokenizer_2=base.tokenizer_2, unet=unet.eval(),
        scheduler=type(base.scheduler).from_config(base.scheduler.config), requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False, add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def one(store, base, refiner, name, run, file):
    """One of RUNS, written as run_{name}; file says where the refiner comes from."""
    spec = dict(prompt=runs.RED, negative_prompt=None, guidance_scale=5.0, width=128, height=128, aesthetic_score=6.0,
                negative_aesthetic_score=2.5, refiner_mode="ensemble")
    spec.update(run)
    generator = torch.Generator().manual_seed(spec["seed"])
    common = {k: spec[k] for k in ("prompt", "negative_prompt", "guidance_scale", "num_inference_steps")}
    common.update(generator=generator, output_type="latent")
    ensemble = spec["refiner_mode"] == "ensemble"
    handed = base(width=128, height=128, **common, **(dict(denoising_end=spec["refiner_start"]) if ensemble else {})).images
    record = runs.Recorder()
    how = dict(denoising_start=spec["refiner_start"]) if ensemble else dict(strength=spec["refiner_strength"])
    latents = refiner(image=handed, aesthetic_score=spec["aesthetic_score"], negative_aesthetic_score=spec["negative_aesthetic_score"],
                      callback_on_step_end=record, callback_on_step_end_tensor_inputs=["latents"], **common, **how).images
    store.array(f"run_{name}_handed", handed, f"run {name}: latents that the base hands to the refiner")
    store.array(f"run_{name}_latents", latents, f"run {name}: latents after the refiner's last step")
    spec.update(refiner_evaluations=len(record.all), refiner=file,
                rng="one torch CPU generator for both pipelines, the base first")
    store.json(f"run_{name}", spec, f"run {name}: the request")


def make(store, base):
    refiner = pipeline(base, synth("nano-refiner", SEED))
    for name, run in RUNS.items():
        one(store, base, refiner, name, run, f"daguerre models synth --kind nano-refiner --seed {SEED}")
