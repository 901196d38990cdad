"""CLIP's two tokenizers as SDXL uses them, made from the vocabulary that open_clip ships."""

import gzip
import json
import pathlib

PADS = {"tokenizer": "<|endoftext|>", "tokenizer_2": "!"}


def _byte_characters():
    """OpenAI's printable stand-ins for the 256 byte values, in the order of the vocabulary."""
    codes = [*range(ord("!"), ord("~") + 1), *range(ord("\u00a1"), ord("\u00ac") + 1),
             *range(ord("\u00ae"), ord("\u00ff") + 1)]
    characters = [chr(c) for c in codes]
    missing = [b for b in range(256) if b not in codes]
    return characters + [chr(256 + n) for n in range(len(missing))]


def write(folder):
    """Write folder/tokenizer and folder/tokenizer_2 in transformers' format."""
    import open_clip

    packed = pathlib.Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
    lines = gzip.decompress(packed.read_bytes()).decode().split("\n")
    merges = lines[1:49152 - 256 - 2 + 1]
    characters = _byte_characters()
    vocab = (characters + [c + "</w>" for c in characters] + ["".join(m.split()) for m in merges]
             + ["<|startoftext|>", "<|endoftext|>"])
    assert len(vocab) == 49408
    for name, pad in PADS.items():
        out = pathlib.Path(folder) / name
        out.mkdir(parents=True, exist_ok=True)
        special = dict(bos_token="<|startoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>", pad_token=pad)
        dump = lambda file, obj: (out / file).write_text(json.dumps(obj, ensure_ascii=False), encoding="utf-8")
        dump("vocab.json", {t: i for i, t in enumerate(vocab)})
        (out / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
        dump("tokenizer_config.json", dict(tokenizer_class="CLIPTokenizer", model_max_length=77, add_prefix_space=False,
                                           do_lower_case=True, errors="replace", **special))
        dump("special_tokens_map.json", special)


def load(folder):
    """Both tokenizers; written to the folder first if they are not there."""
    from transformers import CLIPTokenizer

    if not (pathlib.Path(folder) / "tokenizer_2" / "special_tokens_map.json").exists():
        write(folder)
    return [CLIPTokenizer.from_pretrained(str(pathlib.Path(folder) / name)) for name in PADS]


def encode(tokenizers, captions):
    """Token ids [N, 77] for each tokenizer."""
    import torch

    return [torch.tensor(t(captions, padding="max_length", max_length=77, truncation=True).input_ids) for t in tokenizers]
