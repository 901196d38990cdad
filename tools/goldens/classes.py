"""Unicode's letters and numbers as CLIP's tokenizer knows them, and what it makes of every code point.

    python tools/goldens/classes.py

writes native/src/text/unicode_tables.h, from the classes of the tokenizers library's own regular expressions, and
testdata/tokens/blocks.txt: a hash of the ids of every 256 code points.
"""
import pathlib
import tempfile

import store  # first: it puts tools/nano on the path
import tokenizer

HEADER = """// Written by tools/goldens/classes.py: first and last code point of every run of a class, as the tokenizers library
// (Unicode %s) has them. Numbers are all of category N, among them ² and ①, not the ten digits alone.
#pragma once

namespace dg {

struct CodePointRun {
    char32_t first, last;
};

// clang-format off
"""
UNICODE = "17"  # of tokenizers 0.23.3


def code_points():
    return (c for c in range(0x110000) if not 0xD800 <= c < 0xE000)


def classes(split):
    """The code points that stand in runs with letters, and those that stand alone."""
    letters, numbers = [], []
    for c in code_points():
        sizes = [b - a for _, (a, b) in split("a" + chr(c) * 2 + "!")]
        if sizes == [3, 1]:
            letters.append(c)
        elif sizes == [1, 1, 1, 1]:
            numbers.append(c)
    return letters, numbers


def runs(points):
    out = []
    for c in points:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def table(name, points):
    cells = [f"{{0x{a:x}, 0x{b:x}}}," for a, b in runs(points)]
    lines = ["    " + " ".join(cells[i : i + 6]) for i in range(0, len(cells), 6)]
    return f"inline constexpr CodePointRun {name}[] = {{\n" + "\n".join(lines) + "\n};\n"


def block(first):
    """The text of a block: each code point within a word, twice."""
    return " ".join("a" + chr(c) * 2 + "b" for c in range(first, first + 256) if not 0xD800 <= c < 0xE000)


def fnv(ids):
    h = 0x811C9DC5
    for i in ids:
        for byte in (i & 0xFF, i >> 8):
            h = (h ^ byte) * 0x01000193 & 0xFFFFFFFF
    return h


def main():
    with tempfile.TemporaryDirectory() as folder:
        clip, _ = tokenizer.load(folder)
    letters, numbers = classes(clip.backend_tokenizer.pre_tokenizer.pre_tokenize_str)
    text = HEADER % UNICODE + table("kLetters", letters) + "\n" + table("kNumbers", numbers) + "// clang-format on\n\n}  // namespace dg\n"
    (store.ROOT / "native/src/text/unicode_tables.h").write_text(text, encoding="utf-8")
    out = store.ROOT / "testdata/tokens/blocks.txt"
    out.parent.mkdir(parents=True, exist_ok=True)
    hashes = [f"{fnv(clip.backend_tokenizer.encode(block(first), add_special_tokens=False).ids):08x}" for first in range(0, 0x110000, 256)]
    out.write_text("\n".join(" ".join(hashes[i : i + 15]) for i in range(0, len(hashes), 15)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
