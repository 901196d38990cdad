"""Makes an adapter stronger: multiplies its up-projections, so that the weight 1 is what FACTOR was.

    python scale_lora.py FILE FACTOR
"""

import sys

from safetensors import safe_open
from safetensors.torch import save_file


def main(path, factor):
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    ups = [name for name in tensors if name.endswith((".lora_up.weight", ".lora_B.weight"))]
    if not ups:
        sys.exit(f"{path}: no up-projections")
    for name in ups:
        tensors[name] = (tensors[name].float() * factor).to(tensors[name].dtype)
    save_file(tensors, path, metadata)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
