"""The UNet of diffusers on PyTorch, for tools/gpu-check: one step for each line of standard input.

The argument is a JSON object with the UNet's dimensions and PyTorch's device. Lines are {"size": 512, "dtype": "float16", "way":
"sdpa" or "compile"}; each is answered with {"seconds": 0.1} or {"error": "..."}. Weights are random: the time does not depend on them.
"""

import json
import sys
import time

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0


def config(unet):
    channels, depth = unet["channels"], unet["transformer_depth"]
    heads = tuple(c // unet["head_dim"] for c in channels)
    return dict(
        in_channels=unet["in_channels"], out_channels=unet["out_channels"], block_out_channels=tuple(channels),
        down_block_types=tuple("CrossAttnDownBlock2D" if d else "DownBlock2D" for d in depth),
        up_block_types=tuple("CrossAttnUpBlock2D" if d else "UpBlock2D" for d in reversed(depth)),
        layers_per_block=unet["resnets"][0], transformer_layers_per_block=tuple(max(d, 1) for d in depth),
        attention_head_dim=heads, cross_attention_dim=unet["context_dim"], use_linear_projection=True,
        norm_num_groups=unet["norm_num_groups"], addition_embed_type="text_time", addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=unet["label_dim"],
    )


def main():
    given = json.loads(sys.argv[1])
    unet, device = given["unet"], torch.device(given["device"])
    models = {}

    def model(dtype, way):
        if (dtype, way) not in models:
            with torch.device("meta"):
                module = UNet2DConditionModel(**config(unet))
            module = module.to(getattr(torch, dtype)).to_empty(device=device).eval()
            for parameter in module.parameters():
                torch.nn.init.normal_(parameter, std=0.02)
            module.set_attn_processor(AttnProcessor2_0())
            models[dtype, way] = torch.compile(module) if way == "compile" else module
        return models[dtype, way]

    def wait():
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def step(size, dtype, way):
        kind, side = getattr(torch, dtype), size // 8
        module = model(dtype, way)

        def noise(*shape):
            return torch.randn(shape, device=device).to(kind)

        sample, texts = noise(2, unet["in_channels"], side, side), noise(2, 77, unet["context_dim"])
        added = {"text_embeds": noise(2, unet["pooled_dim"]), "time_ids": noise(2, unet["size_ids"])}
        wait()
        began = time.perf_counter()
        module(sample, torch.tensor(500.0, device=device), texts, added_cond_kwargs=added, return_dict=False)
        wait()
        return time.perf_counter() - began

    for line in sys.stdin:
        asked = json.loads(line)
        try:
            with torch.inference_mode():
                answer = {"seconds": 0.0 if asked.get("ready") else step(asked["size"], asked["dtype"], asked["way"])}
        except Exception as e:  # the check goes on with the others
            answer = {"error": f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
