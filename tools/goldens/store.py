"""Where goldens go, and the manifest that says what each file is."""

import hashlib
import json
import pathlib
import platform
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "nano" / "nano-base.safetensors.gz"
sys.path.insert(0, str(ROOT / "tools" / "nano"))


class Store:
    def __init__(self, folder, keep=False):
        """With keep, the list begins with the files of an earlier run."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.files = json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))["files"] if keep else {}

    def array(self, name, value, what, dtype=np.float32):
        """Save name.npy in C order. `value` is a tensor or array."""
        value = value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
        value = np.ascontiguousarray(value, dtype=dtype)
        np.save(self.folder / f"{name}.npy", value)
        self.files[f"{name}.npy"] = dict(what=what, shape=list(value.shape), dtype=str(value.dtype))

    def json(self, name, value, what):
        text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        (self.folder / f"{name}.json").write_text(text, encoding="utf-8")
        self.files[f"{name}.json"] = dict(what=what)

    def bytes(self, name, data, what):
        (self.folder / name).write_bytes(data)
        self.files[name] = dict(what=what)

    def picture(self, name, pixels, what):
        """uint8 [H, W, 3] or [H, W]."""
        from PIL import Image

        Image.fromarray(pixels).save(self.folder / f"{name}.png", optimize=True)
        self.files[f"{name}.png"] = dict(what=what, shape=list(pixels.shape), dtype="uint8")

    def finish(self, model_sha256):
        import diffusers
        import tokenizers
        import torch
        import transformers

        for name, entry in self.files.items():
            entry["sha256"] = hashlib.sha256((self.folder / name).read_bytes()).hexdigest()
        manifest = dict(
            command="python tools/goldens/make.py",
            model=dict(file="models/nano/nano-base.safetensors.gz", sha256_unpacked=model_sha256,
                       note="F16 weights, widened to F32; all arithmetic is F32"),
            versions=dict(python=platform.python_version(), torch=torch.__version__, diffusers=diffusers.__version__,
                          transformers=transformers.__version__, tokenizers=tokenizers.__version__, numpy=np.__version__),
            files=dict(sorted(self.files.items())),
        )
        (self.folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        lines = [open(pathlib.Path(__file__).with_name("index.md"), encoding="utf-8").read().rstrip(), "",
                 "| file | shape | what |", "|---|---|---|"]
        for name, entry in manifest["files"].items():
            shape = " x ".join(map(str, entry.get("shape", [])))
            lines.append(f"| {name} | {shape} | {entry['what']} |")
        (self.folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
