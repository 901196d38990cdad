"""Token ids and text embeddings."""

import torch

import tokenizer

PROMPTS = [
    "a red circle on a blue background",
    "",
    "a photo of an astronaut riding a horse on mars, 8k, highly detailed",
    "A Small RED Circle,On A   Blue\tBackground!!!",
    "it's the artist's  don't we'll they've I'd",
    "1234567890 3.14 50mm f/1.8 2024-05-17",
    "caf\u00e9 na\u00efve \u00fcber stra\u00dfe \u0153uvre",
    "\u65e5\u672c\u8a9e\u306e\u98a8\u666f \u4e2d\u6587 \ud55c\uad6d\uc5b4 \u0440\u0443\u0441\u0441\u043a\u0438\u0439 \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "\U0001f600 smile \u2764\ufe0f heart \U0001f468\u200d\U0001f469\u200d\U0001f467 family",
    "(masterpiece:1.2), [low quality] {curly} <lora:x:0.5> #tag @user a_b-c",
    "cafe\u0301 with a combining accent",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "<|startoftext|> inside <|endoftext|> text",
    "...?!;:--''\"\"~~ \u2014 \u201cquotes\u201d \u2026",
    " ".join(f"word{i}" for i in range(60)),
    "a " * 74 + "red circle",
    "a " * 75 + "red circle",
]

ENCODED = [PROMPTS[0], "a small yellow star on the left on a purple background", "an unknown astronaut rides a pink heart"]


def make(store, pipe):
    empty(store, pipe)
    # One prompt at a time: padding must not depend on its neighbours.
    one, two = tokenizer.encode([pipe.tokenizer, pipe.tokenizer_2], PROMPTS)
    full = [pipe.tokenizer(p).input_ids[1:-1] for p in PROMPTS]
    store.json("tokens", [dict(prompt=p, ids=i, tokenizer=a.tolist(), tokenizer_2=b.tolist())
                          for p, i, a, b in zip(PROMPTS, full, one, two)],
               "prompts with their ids (bare, not cut) and the 77 ids each tokenizer gives: start, cut to 75, end, padded with 49407 and with 0")
    for i, prompt in enumerate(ENCODED):
        for skip in (0, 1):
            context, _, pooled, _ = pipe.encode_prompt(prompt, device="cpu", do_classifier_free_guidance=False, clip_skip=skip or None)
            what = f"of {prompt!r}" + (" with clip_skip=1 (one layer earlier in both encoders)" if skip else "")
            store.array(f"text_{i}_context" + ("_skip1" if skip else ""), context[0], "hidden states of both encoders side by side " + what)
            if not skip:
                store.array(f"text_{i}_pooled", pooled[0], "pooled, projected output of encoder 2 " + what)


def empty(store, pipe):
    """The negative half for an empty text; where there is none it is zeros, as nano's configuration has it."""
    for negative in ("", None):
        _, context, _, pooled = pipe.encode_prompt(ENCODED[0], device="cpu", negative_prompt=negative)
        if negative is None:
            assert not context.any() and not pooled.any()
            continue
        store.array("text_empty_context", context[0], "hidden states of both encoders side by side of the negative prompt \"\"")
        store.array("text_empty_pooled", pooled[0], "pooled, projected output of encoder 2 of the negative prompt \"\"")
