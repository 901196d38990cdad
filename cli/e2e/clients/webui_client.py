"""The client webuiapi, of AUTOMATIC1111's web API, against daguerre serve: python webui_client.py URL TOKEN."""

import sys
import threading
import time
import urllib.parse

import webuiapi
from PIL import Image, ImageDraw

url, token = urllib.parse.urlparse(sys.argv[1]), sys.argv[2]


def client(password):
    return webuiapi.WebUIApi(host=url.hostname, port=url.port, sampler="Euler a", steps=4, username="any", password=password)


api = client(token)
small = dict(width=128, height=128)

made = api.txt2img(prompt="a red circle on a blue background", negative_prompt="square", seed=42, n_iter=2, **small)
assert [i.size for i in made.images] == [(128, 128)] * 2
assert made.info["all_seeds"] == [42, 43] and made.info["sampler_name"] == "Euler a", made.info
assert made.info["warnings"] == [] and made.info["ignored"] == [], made.info
assert "Seed: 42" in made.info["infotexts"][0]
assert made.parameters["prompt"] == "a red circle on a blue background"

info = api.png_info(made.image)
assert info.info == made.info["infotexts"][0]
assert info.json["parameters"]["Seed"] == "42" and info.json["parameters"]["Size-1"] == "128", info.json

# What is not known is told.
told = api.custom_post("sdapi/v1/txt2img", payload=dict(prompt="x", steps=2, cfg_scale=3, stepz=5, **small))
assert told.info["ignored"] == ["stepz"] and "steps" in told.info["warnings"][0], told.info

again = api.img2img(images=[made.image], prompt="a green circle", seed=1, denoising_strength=0.5, **small)
assert again.image.size == (128, 128) and again.info["denoising_strength"] == 0.5
mask = Image.new("L", (128, 128), 0)
ImageDraw.Draw(mask).rectangle((64, 0, 127, 127), fill=255)
painted = api.img2img(images=[made.image], mask_image=mask, prompt="a green square", seed=1, denoising_strength=0.9, mask_blur=0,
                      inpainting_fill=1, inpaint_full_res=False, **small)
assert painted.image.convert("RGB").getpixel((100, 64)) != made.image.convert("RGB").getpixel((100, 64))

assert api.controlnet_model_list() == ["canny"] and "canny" in api.controlnet_module_list()
unit = webuiapi.ControlNetUnit(image=made.image, module="canny", model="canny", threshold_a=50, threshold_b=100)
controlled = api.txt2img(prompt="a red circle", seed=5, controlnet_units=[unit], **small)
# The client keeps its units in a default argument: later calls need scripts of their own.
plain = api.txt2img(prompt="a red circle", seed=5, alwayson_scripts={}, **small)
assert controlled.image.tobytes() != plain.image.tobytes(), "the net acts"
assert api.controlnet_detect(images=[made.image], module="canny").images[0].size == (128, 128)

assert api.util_get_model_names() == ["nano"] and api.util_get_current_model() == "nano"
api.util_set_model("nano")
api.set_options({"samples_format": "jpg"})
assert api.get_options()["samples_format"] == "jpg"
assert api.txt2img(prompt="x", alwayson_scripts={}, **small).image.format == "JPEG"
api.set_options({"samples_format": "png", "show_progress_every_n_steps": 2})
assert "Euler a" in api.util_get_sampler_names() and "karras" in api.util_get_scheduler_names()
for listed in (api.get_sd_vae, api.get_upscalers, api.get_loras, api.get_hypernetworks, api.get_prompt_styles, api.get_embeddings,
               api.get_memory, api.get_cmd_flags, api.get_latent_upscale_modes, api.get_scripts, api.refresh_checkpoints):
    listed()

big = api.extra_single_image(made.image, upscaler_1="Lanczos", upscaling_resize=2)
assert big.image.size == (256, 256)
assert [i.size for i in api.extra_batch_images([made.image] * 2, upscaler_1="Nearest", upscaling_resize=3).images] == [(384, 384)] * 2

# A long request is followed, and given up.
ended = {}


def long():
    ended["result"] = client(token).txt2img(prompt="a long one", steps=100, n_iter=200, seed=9, alwayson_scripts={}, **small)


waiting = threading.Thread(target=long)
waiting.start()
seen = {"step": False, "image": False}
while waiting.is_alive():
    p = api.get_progress()
    seen["step"] |= p["progress"] > 0.01 and p["state"]["sampling_steps"] == 100
    seen["image"] |= bool(p["current_image"])
    if all(seen.values()):
        api.interrupt()
        break
    time.sleep(0.02)
waiting.join(300)
assert all(seen.values()), seen
assert ended["result"].info["interrupted"] and len(ended["result"].images) < 200, ended["result"].info
api.util_wait_for_ready(check_interval=0.1)

for call, status in ((lambda: api.txt2img(prompt="x", restore_faces=True, alwayson_scripts={}, **small), 422),
                     (lambda: api.interrogate(made.image), 422),
                     (lambda: client("wrong-0123456789abcdef").txt2img(prompt="x", alwayson_scripts={}, **small), 401)):
    try:
        call()
        raise SystemExit(f"expected status {status}")
    except RuntimeError as e:
        assert e.args[0] == status, e
