"""Writes runtime/controlnet/testdata: pictures and what OpenCV's Canny makes of them.

Needs opencv-python-headless (5.0.0 wrote the committed ones); the Go tests need nothing.
"""

import pathlib

import cv2
import numpy as np

OUT = pathlib.Path(__file__).parents[2] / "runtime" / "controlnet" / "testdata"
LOW, HIGH = 100, 200


def shapes(rng, noise):
    picture = np.full((72, 96, 3), (30, 90, 200), np.uint8)
    for k in range(8):
        colour = tuple(int(v) for v in rng.integers(0, 255, 3))
        x, y, u, v = (int(n) for n in rng.integers(0, (96, 72, 96, 72)))
        if k % 2:
            cv2.circle(picture, (x, y), int(rng.integers(5, 25)), colour, -1)
        else:
            cv2.line(picture, (x, y), (u, v), colour, int(rng.integers(1, 7)))
    picture = cv2.GaussianBlur(picture, (0, 0), 1.2)
    grain = rng.integers(-noise, noise + 1, picture.shape)
    return np.clip(picture.astype(int) + grain, 0, 255).astype(np.uint8)


def main():
    rng = np.random.default_rng(1)
    for name, noise in (("smooth", 0), ("noise", 40)):
        picture = shapes(rng, noise)
        cv2.imwrite(str(OUT / f"canny_{name}.png"), picture)
        for kind, l2 in (("l1", False), ("l2", True)):
            edges = cv2.Canny(picture[:, :, ::-1].copy(), LOW, HIGH, L2gradient=l2)
            cv2.imwrite(str(OUT / f"canny_{name}_{kind}.png"), edges)


if __name__ == "__main__":
    main()
