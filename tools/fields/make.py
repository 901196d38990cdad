"""Write testdata/fields: names, types and shapes of the tensors that libraries write, at the nano model's sizes.

    python tools/fields/make.py [FOLDER]

One text file for each layout, a line for each tensor: NAME TYPE SIDE,SIDE... No weights are in them. cli/e2e/fields_test.go makes files of
them. Needs requirements.txt.
"""

import pathlib
import sys
import tempfile

import torch
from safetensors import safe_open
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "nano"))
import arch  # noqa: E402  (after the path)

OUT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "testdata" / "fields")
ATTENTION = "down_blocks.1.attentions.0.transformer_blocks.0"
TARGETS = [f"{ATTENTION}.attn1.to_q", f"{ATTENTION}.attn1.to_k", f"{ATTENTION}.attn1.to_out.0", f"{ATTENTION}.ff.net.2"]
CONV = "down_blocks.1.resnets.0.conv1"


def write(name, folder):
    """Lists the tensors of every safetensors file of a folder."""
    lines = []
    for path in sorted(pathlib.Path(folder).rglob("*.safetensors")):
        with safe_open(path, "pt") as f:
            for key in sorted(f.keys()):
                part = f.get_slice(key)
                lines.append(f"{key} {part.get_dtype()} {','.join(map(str, part.get_shape()))}".rstrip())
    assert lines, name
    (OUT / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def saved(name, module, **options):
    with tempfile.TemporaryDirectory() as folder:
        module.half().save_pretrained(folder, **options)
        write(name, folder)


def models():
    from diffusers import AutoencoderKL, AutoencoderTiny
    from transformers import CLIPConfig, CLIPModel

    one, two = arch.make_text_encoders()
    saved("transformers-text_encoder", one)
    saved("transformers-text_encoder_2", two)
    vision = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=1, image_size=32, patch_size=16)
    saved("transformers-clip", CLIPModel(CLIPConfig(text_config=one.config.to_dict(), vision_config=vision, projection_dim=64)))
    vae = arch.make_vae()
    saved("diffusers-vae", vae)
    config = {k: v for k, v in vae.config.items() if not k.startswith("_")}
    saved("diffusers-vae-plain", AutoencoderKL(**config | dict(mid_block_add_attention=False)))
    saved("diffusers-tiny", AutoencoderTiny())


def peft_adapters():
    import peft

    kinds = dict(
        lora=peft.LoraConfig(r=2, target_modules=TARGETS),
        dora=peft.LoraConfig(r=2, target_modules=TARGETS, use_dora=True),
        loha=peft.LoHaConfig(r=2, target_modules=TARGETS),
        lokr=peft.LoKrConfig(r=2, target_modules=TARGETS),
        ia3=peft.IA3Config(target_modules=TARGETS, feedforward_modules=TARGETS[-1:]),
        oft=peft.OFTConfig(r=0, oft_block_size=8, target_modules=TARGETS),
        boft=peft.BOFTConfig(boft_block_size=8, boft_n_butterfly_factor=1, target_modules=TARGETS[:3]),
        vera=peft.VeraConfig(r=2, target_modules=TARGETS[:2], save_projection=True),
        hra=peft.HRAConfig(r=2, target_modules=TARGETS),
    )
    for name, config in kinds.items():
        saved(f"peft-{name}", peft.get_peft_model(arch.make_unet(), config))


def diffusers_adapter():
    import peft
    from diffusers import StableDiffusionXLPipeline
    from diffusers.utils import convert_state_dict_to_diffusers

    unet = arch.make_unet()
    unet.add_adapter(peft.LoraConfig(r=2, target_modules=TARGETS))
    state = convert_state_dict_to_diffusers(peft.get_peft_model_state_dict(unet))
    with tempfile.TemporaryDirectory() as folder:
        StableDiffusionXLPipeline.save_lora_weights(folder, unet_lora_layers={k: v.half() for k, v in state.items()})
        write("diffusers-lora", folder)


def lycoris_adapters():
    from lycoris import LycorisNetwork, create_lycoris

    kinds = {"locon": {}, "loha": {}, "lokr": dict(factor=4), "glora": {}, "ia3": {}, "diag-oft": {}, "boft": {}, "full": {}, "dylora": {}}
    for algorithm, options in kinds.items():
        LycorisNetwork.apply_preset({"enable_conv": True, "unet_target_module": [], "unet_target_name": [*TARGETS, CONV],
                                     "target_module": [], "target_name": [*TARGETS, CONV]})
        network = create_lycoris(arch.make_unet(), 1.0, linear_dim=4, linear_alpha=1, algo=algorithm, conv_dim=4, conv_alpha=1, **options)
        with tempfile.TemporaryDirectory() as folder:
            network.apply_to()
            state = {k: v.half() for k, v in network.state_dict().items()}
            save_file({k: v.contiguous().clone() for k, v in state.items()}, f"{folder}/x.safetensors")
            write(f"lycoris-{algorithm}", folder)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    models()
    diffusers_adapter()
    peft_adapters()
    lycoris_adapters()
