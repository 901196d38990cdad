"""The Python side of tools/hubpython: what huggingface_hub does and must find."""

import os
import sys

if "offline" in sys.argv:
    os.environ["HF_HUB_OFFLINE"] = "1"

from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download, try_to_load_from_cache

offline = "offline" in sys.argv
folder = ["*.json", "unet/*.fp16.safetensors", "vae/*.safetensors"]


def weights(path, size):
    assert os.path.getsize(path) == size, (path, os.path.getsize(path))


def files(owner):
    """Everything that one of the two has fetched."""
    weights(hf_hub_download(f"{owner}/file", "model.safetensors", local_files_only=offline), 3_000_000)
    weights(hf_hub_download(f"{owner}/file", "other.safetensors", revision="v1", local_files_only=offline), 4096)
    path = snapshot_download(f"{owner}/folder", allow_patterns=folder, local_files_only=offline)
    for name in ("model_index.json", "unet/config.json", "vae/config.json"):
        assert os.path.exists(os.path.join(path, name)), name
    weights(os.path.join(path, "unet/diffusion_pytorch_model.fp16.safetensors"), 4096)
    weights(os.path.join(path, "vae/diffusion_pytorch_model.safetensors"), 4096)


def scan():
    info = scan_cache_dir()
    assert not info.warnings, info.warnings
    return {repo.repo_id: repo for repo in info.repos}


match sys.argv[1]:
    case "download":
        files("theirs")
    case "open":
        files("ours")
        assert try_to_load_from_cache("ours/file", "model.safetensors")
        assert set(scan()) == {"ours/file", "ours/folder", "theirs/file", "theirs/folder"}, scan()
        revisions = scan()["ours/file"].revisions
        assert sorted(ref for r in revisions for ref in r.refs) == ["main", "v1"], revisions
    case "add":
        weights(hf_hub_download("ours/folder", "unet/diffusion_pytorch_model.safetensors"), 4096)
    case "scan":
        assert set(scan()) >= {"ours/file", "theirs/file", "theirs/folder"}, scan()
