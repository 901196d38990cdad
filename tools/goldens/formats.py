"""Writes internal/picture/testdata/formats: small picture files of many kinds, and the pixels that Pillow reads from them.

Needs Pillow (13.0.0 with libwebp 1.6.0 wrote the committed ones); the Go tests need nothing. Three things are not Pillow's own: 16-bit
greys are brought to 8 bits by their high byte (Pillow's convert("RGB") cuts them at 255), pictures are turned by exif_transpose, and what
a GIF's frame leaves of its canvas is transparent, as in browsers.
"""

import base64
import io
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps, ImageCms

OUT = pathlib.Path(__file__).parents[2] / "internal" / "picture" / "testdata" / "formats"


def colours(w, h):
    """Colours with edges that chroma is smeared over, and greys from black to white."""
    y, x = np.mgrid[0:h, 0:w]
    rgb = np.stack([x * 255 // (w - 1), y * 255 // (h - 1), (x * 37 + y * 11) % 256], -1)
    rgb[: h // 3, : w // 2] = (255, 0, 0)
    rgb[h // 3 : h // 2, w // 2 :] = (0, 0, 255)
    rgb[-3:] = (x[-3:] * 255 // (w - 1))[..., None]
    return rgb.astype(np.uint8)


def alpha(w, h):
    y, x = np.mgrid[0:h, 0:w]
    return np.where((x - 6) ** 2 + (y - 6) ** 2 < 16, 0, np.minimum(255, 9 * x + 5 * y)).astype(np.uint8)


def exif(orientation):
    e = Image.Exif()
    e[0x010E], e[0x0112] = "a picture", orientation
    return e


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(w, h, depth, colour, rows, extra=b"", interlaced=False):
    """A PNG that Pillow does not write itself."""
    head = struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def rows(a):
    """Unfiltered rows of an array of bytes or big-endian words."""
    return b"".join(b"\0" + r.tobytes() for r in a)


def adam7(a):
    out = b""
    for x, y, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        part = a[y::dy, x::dx]
        if part.size:
            out += rows(part)
    return out


def files():
    w, h = 19, 13
    rgb = Image.fromarray(colours(w, h))
    rgba = rgb.copy()
    rgba.putalpha(Image.fromarray(alpha(w, h)))
    even = Image.fromarray(colours(20, 14))
    wide = np.repeat(colours(w, h).astype(">u2") * 257 - 100, 1, 0)

    def saved(img, **options):
        data = io.BytesIO()
        img.save(data, **options)
        return data.getvalue()

    yield "lossy.webp", saved(rgb, format="WEBP", quality=90)
    yield "lossy-even.webp", saved(even, format="WEBP", quality=40)
    yield "lossy-wide.webp", saved(even.resize((40, 1)), format="WEBP", quality=75)
    yield "lossy-high.webp", saved(even.resize((1, 40)), format="WEBP", quality=75)
    yield "lossy-dot.webp", saved(Image.new("RGB", (1, 1), (0, 0, 0)), format="WEBP", quality=75)
    yield "lossy-alpha.webp", saved(rgba, format="WEBP", quality=90, exact=True)
    yield "lossy-icc.webp", saved(rgb, format="WEBP", quality=90, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    yield "lossless-alpha.webp", saved(rgba, format="WEBP", lossless=True, exact=True)
    yield "lossless-exif.webp", saved(rgb, format="WEBP", lossless=True, exif=exif(6))
    for o in range(1, 9):
        yield f"exif-{o}.webp", saved(rgb, format="WEBP", quality=90, exif=exif(o))
        yield f"exif-{o}.png", saved(rgb, format="PNG", exif=exif(o))
    yield "exif-alpha.png", saved(rgba, format="PNG", exif=exif(8))
    plain = saved(rgb, format="PNG")
    tiff = exif(5).tobytes().removeprefix(b"Exif\0\0")
    yield "exif-late.png", plain[:-12] + chunk(b"eXIf", tiff) + plain[-12:]
    yield "exif-damaged.png", plain[:-12] + chunk(b"eXIf", tiff[:12]) + plain[-12:]
    moving = [rgb, rgb.transpose(Image.Transpose.ROTATE_180)]
    yield "animated.webp", saved(moving[0], format="WEBP", save_all=True, append_images=moving[1:], quality=90)
    yield "animated-alpha.webp", saved(rgba, format="WEBP", save_all=True, append_images=moving[1:], lossless=True, exact=True)
    yield "animated.png", saved(moving[0], format="PNG", save_all=True, append_images=moving[1:])
    greys = [Image.new("L", (w, h), v) for v in (200, 40)]
    yield "animated.gif", saved(greys[0], format="GIF", save_all=True, append_images=greys[1:])
    yield "grey.png", saved(rgb.convert("L"), format="PNG")
    yield "grey-alpha.png", saved(rgba.convert("LA"), format="PNG")
    yield "palette-trns.png", saved(rgb.quantize(16), format="PNG", transparency=bytes(range(0, 256, 16)))
    yield "palette-4.png", saved(rgb.quantize(16), format="PNG", bits=4)
    yield "bits-1.png", saved(rgb.convert("1"), format="PNG")
    yield "grey-16.png", png(w, h, 16, 0, rows(wide[..., 0]))
    yield "rgb-16.png", png(w, h, 16, 2, rows(wide))
    yield "rgba-16.png", png(w, h, 16, 6, rows(np.dstack([wide, np.asarray(rgba)[..., 3].astype(">u2") * 257])))
    yield "rgb-trns.png", png(w, h, 8, 2, rows(np.asarray(rgb)), chunk(b"tRNS", struct.pack(">HHH", 255, 0, 0)))
    yield "interlaced.png", png(w, h, 8, 2, adam7(np.asarray(rgb)), interlaced=True)
    yield "icc.png", saved(rgb, format="PNG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    smooth = even.resize((64, 48), Image.Resampling.BICUBIC)
    yield "444.jpg", saved(smooth, format="JPEG", quality=95, subsampling=0)
    yield "grey.jpg", saved(smooth.convert("L"), format="JPEG", quality=95)
    yield "progressive.jpg", saved(smooth, format="JPEG", quality=95, subsampling=0, progressive=True)
    yield "cmyk.jpg", saved(smooth.convert("CMYK"), format="JPEG", quality=95)
    part = io.BytesIO()
    Image.fromarray(np.full((4, 5), 1, np.uint8)).save(part, format="GIF")
    data = bytearray(part.getvalue())
    at = data.rindex(b"\x2c")
    data[6:10] = struct.pack("<HH", 9, 8)
    data[at + 1 : at + 5] = struct.pack("<HH", 3, 2)
    yield "part.gif", bytes(data)


def pixels(name, data):
    img = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if img.mode.startswith("I;16"):
        img = Image.fromarray((np.asarray(img) >> 8).astype(np.uint8))
    rgba = img.convert("RGBA")
    if "A" not in img.mode and img.info.get("transparency") is None:
        rgba = img.convert("RGB").convert("RGBA")
    if name == "part.gif":
        canvas = Image.new("RGBA", rgba.size)
        canvas.paste(rgba.crop((3, 2, 8, 6)), (3, 2))
        return canvas
    return rgba


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    want = {}
    for name, data in files():
        (OUT / name).write_bytes(data)
        rgba = pixels(name, data)
        want[name] = {"width": rgba.width, "height": rgba.height, "rgba": base64.b64encode(zlib.compress(rgba.tobytes(), 9)).decode()}
    (OUT / "pixels.json").write_text(json.dumps(want, indent=1) + "\n")


if __name__ == "__main__":
    main()
