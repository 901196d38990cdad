"""Run by hand: `python test_singlefile.py [FILE]`.

Random weights go through to_single and back without a change, original names are those of a
real SDXL file, diffusers' own converter agrees with ours, and (with FILE) a folder written by
to_diffusers.py loads and holds the very tensors of the file.
"""

import sys
import tempfile

import torch

import arch
import singlefile


def random_states():
    torch.manual_seed(0)
    one, two = arch.make_text_encoders(100)
    out = {}
    for name, m in dict(unet=arch.make_unet(), vae=arch.make_vae(), text_encoder=one, text_encoder_2=two).items():
        for p in m.parameters():
            torch.nn.init.normal_(p)
        out[name] = {(k if name[:4] != "text" or k.startswith("text_") else "text_model." + k): v
                     for k, v in m.state_dict().items() if not k.endswith("position_ids")}
    return out


def same(a, b, what):
    assert a.keys() == b.keys(), (what, sorted(a.keys() ^ b.keys())[:9])
    for k in a:
        assert torch.equal(a[k], b[k]), (what, k)
    print(f"{what}: {len(a)} tensors equal")


def test_round_trip():
    states = random_states()
    single = singlefile.to_single(states["unet"], states["vae"], states["text_encoder"], states["text_encoder_2"])
    for name, state in singlefile.to_diffusers(single).items():
        same(states[name], state, name)
    for key in ("model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
                "model.diffusion_model.input_blocks.3.0.op.weight", "model.diffusion_model.output_blocks.2.2.conv.weight",
                "model.diffusion_model.label_emb.0.2.bias", "model.diffusion_model.middle_block.1.proj_in.weight",
                "first_stage_model.decoder.mid.attn_1.proj_out.weight", "first_stage_model.encoder.down.1.block.0.nin_shortcut.weight",
                "conditioner.embedders.0.transformer.text_model.embeddings.position_embedding.weight",
                "conditioner.embedders.1.model.transformer.resblocks.2.attn.in_proj_weight",
                "conditioner.embedders.1.model.text_projection", "conditioner.embedders.1.model.positional_embedding"):
        assert key in single, key
    return states, single


def test_against_diffusers(states, single):
    """diffusers' converters of original SDXL files give our diffusers names."""
    from diffusers.loaders import single_file_utils as u

    unet, vae = arch.make_unet(), arch.make_vae()
    same(states["unet"], u.convert_ldm_unet_checkpoint(dict(single), dict(unet.config)), "diffusers' UNet converter")
    same(states["vae"], u.convert_ldm_vae_checkpoint(dict(single), dict(vae.config)), "diffusers' VAE converter")
    two = arch.make_text_encoders(100)[1]
    got = u.convert_open_clip_checkpoint(two, dict(single), prefix=singlefile.TEXT_2)
    same(states["text_encoder_2"], {k: v for k, v in got.items() if not k.endswith("position_ids")}, "diffusers' OpenCLIP converter")


def test_folder(path):
    from diffusers import StableDiffusionXLPipeline

    import to_diffusers

    states = singlefile.to_diffusers(to_diffusers.read(path)[0])
    with tempfile.TemporaryDirectory() as folder:
        to_diffusers.write(path, folder, torch.float16)
        pipe = StableDiffusionXLPipeline.from_pretrained(folder, torch_dtype=torch.float16)
        for name, state in states.items():
            got = {(k if name[:4] != "text" or k.startswith("text_") else "text_model." + k): v
                   for k, v in getattr(pipe, name).state_dict().items() if not k.endswith("position_ids")}
            same(state, got, "folder: " + name)
        ids = pipe.tokenizer_2("a red circle", padding="max_length", max_length=77).input_ids
        assert ids[:6] == [49406, 320, 736, 7117, 49407, 0], ids[:6]


if __name__ == "__main__":
    test_against_diffusers(*test_round_trip())
    if len(sys.argv) > 1:
        test_folder(sys.argv[1])
