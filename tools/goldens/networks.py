"""One evaluation of the UNet and of the VAE, with their inputs."""

import numpy as np
import torch

import data

CASES = {"n1": (1, 16, 16, [701.0]), "n2": (2, 16, 16, [801.0, 151.0]), "wide": (1, 16, 24, [401.0])}


def unet(store, pipe, prompts):
    for k, (name, (n, h, w, t)) in enumerate(CASES.items()):
        g = torch.Generator().manual_seed(100 + k)
        latents = torch.randn(n, 4, h, w, generator=g)
        context, _, pooled, _ = pipe.encode_prompt(prompts[:n], device="cpu", do_classifier_free_guidance=False)
        ids = torch.tensor([8.0 * h, 8.0 * w, 0, 0, 8.0 * h, 8.0 * w]).repeat(n, 1)
        if n > 1:
            ids[1] = torch.tensor([256.0, 192, 16, 8, 128, 128])
        t = torch.tensor(t)
        out = pipe.unet(latents, t, context, added_cond_kwargs=dict(text_embeds=pooled, time_ids=ids)).sample
        for part, value in dict(latents=latents, timesteps=t, context=context, pooled=pooled, time_ids=ids, out=out).items():
            store.array(f"unet_{name}_{part}", value, "UNet evaluation: " + ("predicted noise" if part == "out" else part))


def vae(store, pipe):
    scenes = [dict(shape="heart", colour="red", background="cyan", cx=60.0, cy=66.0, radius=33.0),
              dict(shape="star", colour="yellow", background="purple", cx=64.0, cy=64.0, radius=40.0)]
    square, other = data.render(scenes, 5).float() / 127.5 - 1
    for name, pixels in dict(square=square[None], wide=torch.cat([square, other[:, :, :64]], -1)[None]).items():
        moments = pipe.vae.quant_conv(pipe.vae.encoder(pixels))
        store.array(f"vae_{name}_pixels", pixels, "picture for the VAE's encoder")
        store.array(f"vae_{name}_moments", moments, "VAE encoder's output: mean, then log-variance (not clamped)")
        latents = moments[:, :4] + 0.1 * torch.randn(moments[:, :4].shape, generator=torch.Generator().manual_seed(9))
        store.array(f"vae_{name}_latents", latents, "latents for the VAE's decoder (already divided by the scaling factor)")
        store.array(f"vae_{name}_decoded", pipe.vae.decode(latents).sample, "VAE decoder's output")


def plain_vae(store, pipe):
    """The VAE without the attention in its middle."""
    from diffusers import AutoencoderKL

    config = {k: v for k, v in pipe.vae.config.items() if not k.startswith("_")}
    vae = AutoencoderKL(**config | dict(mid_block_add_attention=False)).eval()
    vae.load_state_dict({k: v for k, v in pipe.vae.state_dict().items() if ".attentions." not in k})
    pixels = torch.from_numpy(np.load(store.folder / "vae_square_pixels.npy"))[:, :, :64, :96]
    moments = vae.quant_conv(vae.encoder(pixels))
    store.array("vae_plain_moments", moments, "encoder's output for the upper left 64 x 96 of vae_square_pixels, without attention")
    store.array("vae_plain_decoded", vae.decode(moments[:, :4]).sample, "decoding of vae_plain_moments' means, without attention")
