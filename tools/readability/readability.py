"""How long the sentences are that a user reads: README, docs and the program's help.

    python tools/readability/readability.py README.md docs/*.md --man MANDIR

Each page gets a line: its sentences, the median and the longest in words, and LIX (a figure of
textstat's for how hard a text is; below 40 is easy, above 50 is hard). Sentences that are too
long are printed. A page fails when its median is above 16 words, or when a sentence has more
than 35 and exceptions.txt does not name it.

Only prose counts: no code, no tables, no headings. A piece of code inside a sentence is one word.
MANDIR has the manual pages that `daguerre man -o MANDIR` writes; they say what the help says.
"""

import argparse
import pathlib
import re
import statistics
import sys

import textstat
from markdown_it import MarkdownIt
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

MEDIAN, LONGEST = 16, 35

_parameters = PunktParameters()
_parameters.abbrev_types = {"e.g", "i.e", "etc", "vs", "no", "cf", "approx"}
_splitter = PunktSentenceTokenizer(_parameters)


def sentences(text):
    """The sentences of a piece of prose. Those of one or two words are labels and do not count, as in textstat."""
    # Punkt decides by the next word's capital letter: a sentence that begins with code begins with a capital.
    text = re.sub(r"\s+", " ", text).strip()
    return [s for s in _splitter.tokenize(text) if textstat.lexicon_count(s) > 2]


def prose_of_markdown(text):
    """The paragraphs and list items of a Markdown page, without code, tables, headings and comments."""
    skipped = 0
    after_heading = False
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type in ("table_open", "table_close"):
            skipped += token.nesting
        elif token.type == "heading_open":
            after_heading = True
        elif token.type == "inline" and after_heading:
            after_heading = False
        elif token.type == "inline" and not skipped:
            yield "".join(inline(child) for child in token.children)


def inline(token):
    if token.type == "text":
        return token.content
    if token.type == "code_inline":
        return "Code"
    return " " if token.type in ("softbreak", "hardbreak") else ""


def prose_of_manual(text):
    """The paragraphs of a manual page: its description, and what each flag is for."""
    paragraph, kept, section, skip_head = [], False, "", False
    for line in text.splitlines() + [".PP"]:
        if line.startswith(".") or skip_head:
            if not skip_head and not line.startswith(".br") and paragraph:
                yield plain(" ".join(paragraph))
                paragraph = []
        if skip_head:
            skip_head = False
            continue
        if line.startswith(".SH"):
            section = line[4:].strip('"')
        elif line in (".nf", ".fi"):
            kept = line == ".nf"
        elif line == ".TP":
            skip_head = True
        elif re.search(r"\S {2,}\S", line):
            continue  # a row of a table
        elif not line.startswith(".") and not kept and section not in ("SYNOPSIS", "NAME", "SEE ALSO"):
            paragraph.append(line)


def plain(roff):
    """A line of roff as it is read. Defaults stand in brackets at the end and are no part of the sentence."""
    for code, char in ((r"\-", "-"), (r"\(dq", '"'), (r"\(aq", "'"), (r"\(ha", "^"), (r"\(ti", "~"), (r"\(ga", "`"), (r"\&", ""), (r"\e", "\\")):
        roff = roff.replace(code, char)
    roff = re.sub(r"\\f[BRI]", "", roff)
    return re.sub(r"\s*\(default: .*\)\s*$", "", roff)


def pages(arguments):
    for name in arguments.pages:
        yield name, list(prose_of_markdown(pathlib.Path(name).read_text(encoding="utf-8")))
    if arguments.man:
        yield "help", [p for f in sorted(pathlib.Path(arguments.man).glob("*.1")) for p in prose_of_manual(f.read_text(encoding="utf-8"))]


def exceptions():
    lines = (pathlib.Path(__file__).parent / "exceptions.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*")
    parser.add_argument("--man", help="folder with the program's manual pages")
    arguments = parser.parse_args()
    allowed, used, failed, everything, long_ones = exceptions(), set(), [], [], 0
    print(f"{'page':32} {'sentences':>9} {'median':>7} {'longest':>7} {'over 35':>7} {'LIX':>5}")
    for name, prose in pages(arguments):
        found = list(dict.fromkeys(s for p in prose for s in sentences(p)))  # manual pages repeat shared flags
        lengths = [textstat.lexicon_count(s) for s in found]
        if not lengths:
            continue
        too_long = [(n, s) for n, s in zip(lengths, found) if n > LONGEST]
        middle = statistics.median(lengths)
        print(f"{name:32} {len(lengths):9} {middle:7.1f} {max(lengths):7} {len(too_long):7} {textstat.lix(' '.join(found)):5.0f}")
        everything += lengths
        long_ones += len(too_long)
        if middle > MEDIAN:
            failed.append(f"{name}: the median sentence has {middle:g} words; at most {MEDIAN}")
        for n, s in too_long:
            allowing = [a for a in allowed if s.startswith(a)]
            used.update(allowing)
            if not allowing:
                failed.append(f"{name}: {n} words: {s}")
    failed += [f"exceptions.txt: no long sentence begins so: {a}" for a in allowed if a not in used]
    print(f"{'all':32} {len(everything):9} {statistics.median(everything):7.1f} {max(everything):7} {long_ones:7}")
    print("\n".join(failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
