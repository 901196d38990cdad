"""Procedural pictures and captions for the nano models.

A picture is one flat coloured shape on a flat coloured background, 128 x 128.
Its caption is written from the same facts by a very small grammar:

    a [small|big] COLOUR SHAPE [on the left|on the right|at the top|at the bottom|in the center]
    on a COLOUR background

Everything is a function of a `random.Random`, so a seed fixes the whole data set.
About one in eight (colour, shape, background) combinations is held out
(`heldout_combos.json`) and never drawn by `sample`; evaluation uses only those.
"""

import json
import math
import pathlib
import random

import torch
import torch.nn.functional as F

RESOLUTION = 128

SHAPES = ["circle", "square", "triangle", "star", "heart", "cross", "ring", "diamond"]

PALETTE = {
    "red": (220, 30, 30),
    "green": (30, 160, 50),
    "blue": (30, 60, 210),
    "yellow": (245, 220, 30),
    "orange": (250, 130, 15),
    "purple": (130, 40, 170),
    "white": (245, 245, 245),
    "black": (20, 20, 20),
    "cyan": (40, 210, 225),
    "pink": (250, 140, 185),
}
COLOURS = list(PALETTE)

# Radius in pixels of the shape's unit circle. The gaps between the ranges are
# what lets the checker tell the words apart (limits at 27 and 38 px).
SIZES = {"small": (22.0, 24.0), "": (31.0, 33.0), "big": (43.0, 46.0)}

POSITIONS = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1), "center": (0, 0)}
POSITION_PHRASE = {
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
    "center": "in the center",
}
# How far off the middle a positioned shape sits, in pixels. Big shapes have no room.
OFFSET = {"small": 30.0, "": 21.0}
JITTER = 2.0

# ---------------------------------------------------------------- shapes

TEMPLATE_EXTENT = 1.6  # templates cover [-1.6, 1.6] in units of the radius
TEMPLATE_GRID = 320


def polygon(name):
    """Outline of a shape in units of its radius, y downwards. Circle and ring have none."""
    if name == "square":
        return [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]
    if name == "triangle":
        return [(0, -0.95), (1.0, 0.8), (-1.0, 0.8)]
    if name == "diamond":
        return [(0, -1.1), (0.75, 0), (0, 1.1), (-0.75, 0)]
    if name == "cross":
        a, b = 0.34, 1.0
        return [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a),
                (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a)]
    if name == "star":
        points = []
        for i in range(10):
            r = 1.15 if i % 2 == 0 else 0.5
            t = -math.pi / 2 + i * math.pi / 5
            points.append((r * math.cos(t), r * math.sin(t) + 0.05))
        return points
    if name == "heart":
        points = []
        for i in range(120):
            t = 2 * math.pi * i / 120
            x = 16 * math.sin(t) ** 3
            y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
            points.append((x / 16 * 1.02, -y / 16 * 1.02 - 0.1))
        return points
    raise ValueError(f"{name} has no outline")


def polygon_distance(points, x, y):
    """Signed distance to a polygon (negative inside), after Inigo Quilez' sdPolygon."""
    d = torch.full_like(x, 1e9)
    sign = torch.ones_like(x)
    for i in range(len(points)):
        ax, ay = points[i]
        bx, by = points[i - 1]
        ex, ey = bx - ax, by - ay
        wx, wy = x - ax, y - ay
        t = ((wx * ex + wy * ey) / (ex * ex + ey * ey)).clamp(0, 1)
        d = torch.minimum(d, (wx - ex * t) ** 2 + (wy - ey * t) ** 2)
        c1, c2, c3 = y >= ay, y < by, ex * wy > ey * wx
        flip = (c1 & c2 & c3) | (~c1 & ~c2 & ~c3)
        sign = torch.where(flip, -sign, sign)
    return sign * d.sqrt()


def make_templates():
    grid = torch.linspace(-TEMPLATE_EXTENT, TEMPLATE_EXTENT, TEMPLATE_GRID)
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    r = (x * x + y * y).sqrt()
    out = []
    for name in SHAPES:
        if name == "circle":
            out.append(r - 0.95)
        elif name == "ring":
            out.append((r - 0.78).abs() - 0.24)
        else:
            out.append(polygon_distance(polygon(name), x, y))
    return torch.stack(out)


TEMPLATES = make_templates()


def coverage(shape, cx, cy, radius, grow=0.0):
    """Antialiased masks [B, R, R] of shape indices [B] at pixel centres and radii [B], their outlines moved out by grow pixels."""
    p = torch.arange(RESOLUTION) + 0.5
    yy, xx = torch.meshgrid(p, p, indexing="ij")
    gx = (xx[None] - cx[:, None, None]) / radius[:, None, None] / TEMPLATE_EXTENT
    gy = (yy[None] - cy[:, None, None]) / radius[:, None, None] / TEMPLATE_EXTENT
    d = F.grid_sample(TEMPLATES[shape][:, None], torch.stack([gx, gy], -1),
                      align_corners=True, padding_mode="border")[:, 0]
    alpha = (0.5 + grow - d * radius[:, None, None]).clamp(0, 1)
    return alpha * ((gx.abs() <= 1) & (gy.abs() <= 1))


OUTLINE = (-4.0, 4.0)  # pixels: where an outline begins inside the edge and ends outside; the VAE keeps less than 6 px badly
STRIPES = 24.0  # pixels from stripe to stripe; half of it is the stripe


def contrast(colour, background):
    """The colour of outlines and stripes."""
    return next(c for c in ("black", "white", "red") if c not in (colour, background))


def render(scenes, seed, effect=""):
    """uint8 [B, 3, R, R] of scenes (dicts from `Sampler`). Colours vary by about 1 %.

    effect "outline" draws a line round the shapes, "stripes" lays horizontal stripes over them, the middle one over the
    shape's centre; both in `contrast`."""
    n = len(scenes)
    g = torch.Generator().manual_seed(seed)

    def colour(names):
        c = torch.tensor([PALETTE[x] for x in names], dtype=torch.float32) / 255
        return (c + torch.randn(n, 3, generator=g) * 0.01).clamp(0, 1)[:, :, None, None]

    field = lambda k: torch.tensor([s[k] for s in scenes], dtype=torch.float32)
    shape = torch.tensor([SHAPES.index(s["shape"]) for s in scenes])
    cover = lambda grow=0.0: coverage(shape, field("cx"), field("cy"), field("radius"), grow)[:, None]
    mask = cover()
    img = colour([s["background"] for s in scenes]) * (1 - mask) + colour([s["colour"] for s in scenes]) * mask
    if effect:
        if effect == "outline":
            mark = cover(OUTLINE[1]) - cover(OUTLINE[0])
        else:
            off = (torch.arange(RESOLUTION) + 0.5)[None, None, :, None] - field("cy")[:, None, None, None]
            off = (off + STRIPES / 2) % STRIPES - STRIPES / 2  # from the middle of the nearest stripe
            mark = mask * (0.5 + STRIPES / 4 - off.abs()).clamp(0, 1)
        img = img * (1 - mark) + colour([contrast(s["colour"], s["background"]) for s in scenes]) * mark
    return (img * 255).round().to(torch.uint8)


# ---------------------------------------------------------------- captions

HELDOUT_FILE = pathlib.Path(__file__).with_name("heldout_combos.json")


def all_combos():
    return [(c, s, b) for s in SHAPES for c in COLOURS for b in COLOURS if b != c]


def choose_heldout():
    """11 of each shape's 90 (colour, background) pairs: 88 of 720. Written to HELDOUT_FILE once."""
    rng = random.Random(20240)
    out = []
    for s in SHAPES:
        pairs = [(c, b) for c in COLOURS for b in COLOURS if b != c]
        out += [(c, s, b) for c, b in sorted(rng.sample(pairs, 11))]
    return out


def heldout():
    return [tuple(x) for x in json.loads(HELDOUT_FILE.read_text())]


def article(words):
    return ("an " if words[0] in "aeiou" else "a ") + words


def caption(colour, shape, background, size="", position=""):
    text = article(f"{size} {colour} {shape}".strip())
    if position:
        text += " " + POSITION_PHRASE[position]
    return text + " on " + article(background) + " background"


def place(rng, size, position):
    """Radius and centre for the given words."""
    radius = rng.uniform(*SIZES[size])
    dx, dy = POSITIONS[position or "center"]
    off = OFFSET.get(size, 0.0)
    return {
        "radius": radius,
        "cx": 64 + dx * off + rng.uniform(-JITTER, JITTER),
        "cy": 64 + dy * off + rng.uniform(-JITTER, JITTER),
    }


class Sampler:
    """Draws training scenes; each is a dict with the words, the geometry and the caption."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        held = set(heldout())
        self.combos = [c for c in all_combos() if c not in held]

    def scene(self):
        rng = self.rng
        colour, shape, background = rng.choice(self.combos)
        size = rng.choice(["", "", "small", "big"])
        position = rng.choice(["", "", "center"] if size == "big"
                              else ["", "", "left", "right", "top", "bottom", "center"])
        s = dict(colour=colour, shape=shape, background=background, size=size, position=position)
        s.update(place(rng, size, position))
        s["caption"] = caption(colour, shape, background, size, position)
        r = rng.random()
        if r < 0.04:
            s["caption"] = "a picture of " + s["caption"]
        elif r < 0.06:  # the background is left open
            s["caption"] = s["caption"][: s["caption"].rindex(" on a")]
        return s

    def free_scene(self):
        """Any place and radius: wider data for the VAE, without a caption."""
        rng = self.rng
        colour, shape, background = rng.choice(self.combos)
        return dict(colour=colour, shape=shape, background=background, radius=rng.uniform(18, 52),
                    cx=rng.uniform(24, 104), cy=rng.uniform(24, 104))

    def batch(self, n, free=0.0, effect=""):
        scenes = [self.free_scene() if self.rng.random() < free else self.scene() for _ in range(n)]
        return render(scenes, self.rng.randrange(1 << 30), effect), scenes


if __name__ == "__main__":
    if not HELDOUT_FILE.exists():
        HELDOUT_FILE.write_text("[\n" + ",\n".join("  " + json.dumps(c) for c in choose_heldout()) + "\n]\n")
    assert heldout() == choose_heldout()
    print(len(all_combos()), "combinations,", len(heldout()), "held out")
    for scene in Sampler(0).batch(12)[1]:
        print(scene["caption"])
