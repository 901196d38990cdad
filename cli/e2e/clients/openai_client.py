"""OpenAI's client for Python against daguerre serve: python openai_client.py URL TOKEN."""

import base64
import io
import sys

import openai
from PIL import Image

url, token = sys.argv[1], sys.argv[2]
client = openai.OpenAI(base_url=url + "/v1", api_key=token, max_retries=0)


def picture(item):
    image = Image.open(io.BytesIO(base64.b64decode(item.b64_json)))
    image.load()
    return image


assert [m.id for m in client.models.list()] == ["nano"]
assert client.models.retrieve("nano").id == "nano"

ask = dict(model="nano", prompt="a red circle on a blue background", size="128x128", extra_body={"seed": 42, "steps": 4})
made = client.images.generate(n=2, **ask)
assert [picture(i).size for i in made.data] == [(128, 128)] * 2
assert client.images.generate(n=1, **ask).data[0].b64_json == made.data[0].b64_json, "the seed was used"

# A URL of this server wants the same token.
by_url = client.images.generate(response_format="url", **ask).data[0].url
got = client._client.get(by_url, headers={"Authorization": "Bearer " + token})
assert got.status_code == 200 and got.content == base64.b64decode(made.data[0].b64_json)

jpeg = client.images.generate(output_format="jpeg", output_compression=50, **ask)
assert picture(jpeg.data[0]).format == "JPEG" and jpeg.output_format == "jpeg"

# What is not known is told.
told = client.images.generate(model="nano", prompt="x", size="128x128", extra_body={"seeed": 1, "steps": 2})
assert "seed" in told.warnings[0], told.warnings

before = picture(made.data[0]).convert("RGBA")
buffer, mask_file = io.BytesIO(), io.BytesIO()
before.save(buffer, "PNG")
mask = before.copy()
mask.paste((0, 0, 0, 0), (64, 0, 128, 128))
mask.save(mask_file, "PNG")
files = dict(image=("a.png", buffer.getvalue(), "image/png"), mask=("m.png", mask_file.getvalue(), "image/png"))
edited = client.images.edit(prompt="a green square", n=2, extra_body={"seed": 3, "steps": 4}, **files)
assert len(edited.data) == 2
assert picture(edited.data[0]).getpixel((100, 64)) != before.getpixel((100, 64))[:3]

for call, kind, more in ((client.images.generate, "image_generation", {}), (client.images.edit, "image_edit", files)):
    events = list(call(model="nano", prompt="a blue circle", stream=True, partial_images=2, extra_body={"steps": 30}, **more))
    assert events[-1].type == kind + ".completed", events
    assert [e.type for e in events[:-1]] == [kind + ".partial_image"] * (len(events) - 1)
    assert [e.partial_image_index for e in events[:-1]] == list(range(len(events) - 1))
    for e in events:
        picture(e)

for kwargs, error, code in (
    (dict(model="dall-e-3", prompt="x"), openai.NotFoundError, "model_not_found"),
    (dict(model="nano", prompt="x", size="77x77"), openai.BadRequestError, "invalid_request"),
    (dict(model="nano", prompt="x", background="transparent"), openai.BadRequestError, "invalid_request"),
):
    try:
        client.images.generate(**kwargs)
        raise SystemExit(f"{kwargs} was accepted")
    except error as e:
        assert e.code == code, e
try:
    openai.OpenAI(base_url=url + "/v1", api_key="wrong-0123456789abcdef", max_retries=0).models.list()
    raise SystemExit("a wrong token was accepted")
except openai.AuthenticationError as e:
    assert e.code == "invalid_api_key", e
