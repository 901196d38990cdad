"""A detector: the raw result of a synthetic YOLOv8, and the boxes that ultralytics' predict makes of it.

Needs requirements-detector.txt. Ultralytics is under the AGPL-3.0. It is a tool here, run to compare with; nothing of it is in the repository.
"""

import os

os.environ.setdefault("YOLO_OFFLINE", "true")

import numpy as np
import torch

from refiner import synth

SEED = 16
KIND = "nano-yolov8"
CLASSES = 3
WIDTH = 1 / 16


def network():
    """The same network as Preset("nano-yolov8") of internal/modelfile."""
    import yaml
    from ultralytics import cfg
    from ultralytics.nn.tasks import DetectionModel

    with open(os.path.join(os.path.dirname(cfg.__file__), "models", "v8", "yolov8.yaml"), encoding="utf-8") as f:
        d = yaml.safe_load(f)
    d.pop("scales")
    d.update(nc=CLASSES, depth_multiple=0.33, width_multiple=WIDTH)
    net = DetectionModel(d, ch=3, verbose=False)
    net.load_state_dict(synth(KIND, SEED))
    return net.eval()


def picture():
    """A wide picture of discs on a gradient: 300 x 56, which is enlarged to 640 x 119 and stands in a frame of 640 x 128."""
    y, x = np.mgrid[:56, :300].astype(np.float32)
    rgb = np.stack([x / 300 * 255, y / 56 * 200, 255 - x / 300 * 180], -1)
    for k, (cx, cy, r) in enumerate([(30, 25, 18), (110, 30, 22), (170, 20, 12), (250, 28, 26)]):
        rgb[np.hypot(x - cx, y - cy) < r] = [(250, 220, 60), (20, 60, 30), (230, 230, 240), (90, 20, 120)][k]
    return rgb.round().astype(np.uint8)


def boxes(net, rgb, **options):
    from ultralytics import YOLO

    model = YOLO("yolov8n.yaml", verbose=False)
    model.model = net
    found = model.predict(rgb[:, :, ::-1].copy(), imgsz=640, verbose=False, device="cpu", save=False, **options)[0].boxes
    return [dict(box=b[:4], confidence=b[4], **{"class": int(b[5])}) for b in found.data.tolist()]


def make(store, pipe):
    from ultralytics.data.augment import LetterBox

    net = network()
    pixels = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(SEED))
    store.array("yolo_pixels", pixels, "two pictures for the detector, [0, 1]")
    raw = net(pixels)[1]
    store.array("yolo_raw", torch.cat([level.flatten(2) for level in raw], 2), "the detector's result for yolo_pixels, scale by scale")

    rgb = picture()
    store.picture("yolo_picture", rgb, "a picture for the detector's boxes")
    frame = LetterBox((640, 640), auto=True, stride=32)(image=rgb)
    store.picture("yolo_frame", frame, "yolo_picture as the detector sees it")
    best, which = net(torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255)[0][0, 4:].max(0)

    def threshold(place, *classes):
        """A confidence that so many anchors of these classes have."""
        of = best[torch.isin(which, torch.tensor(classes))].sort(descending=True).values
        return float((of[place] + of[place + 1]) / 2)

    runs = [dict(options=o, boxes=boxes(network(), rgb, **o)) for o in
            (dict(conf=threshold(80, 0, 1, 2)), dict(conf=threshold(20, 1, 2), classes=[1, 2]), dict(conf=threshold(2, 0, 1, 2)),
             dict(conf=float(best.max()) / 2 + 0.5))]
    store.json("yolo_boxes", runs, "what ultralytics' predict finds in yolo_picture")
