"""A CLIP text forward pass on transformers' own parameters, without what training does not need.

transformers computes all layers and keeps all hidden states; SDXL takes the output of
the last layer but one, so the last layer of the first encoder is never computed here.
`python textmodel.py` compares it with transformers.
"""

import torch

from attention import attend


def core(model):
    """The module that holds embeddings, encoder and final_layer_norm (transformers 4 and 5 differ)."""
    return getattr(model, "text_model", model)


def _attention(a, x):
    n, s, w = x.shape
    heads = a.num_heads
    q, k, v = (p(x).view(n, s, heads, w // heads).transpose(1, 2) for p in (a.q_proj, a.k_proj, a.v_proj))
    y = attend(q, k, v, torch.full((s, s), -torch.inf, dtype=q.dtype).triu(1))
    return a.out_proj(y.transpose(1, 2).reshape(n, s, w))


def _layer(l, x):
    x = x + _attention(l.self_attn, l.layer_norm1(x))
    return x + l.mlp(l.layer_norm2(x))


def penultimate(model, ids):
    """hidden_states[-2]: [N, 77, width]."""
    m = core(model)
    x = m.embeddings(input_ids=ids)
    for l in m.encoder.layers[:-1]:
        x = _layer(l, x)
    return x


def penultimate_and_pooled(model, ids):
    """hidden_states[-2] and the projection of the end token's last state [N, proj]."""
    m = core(model)
    hidden = penultimate(model, ids)
    x = m.final_layer_norm(_layer(m.encoder.layers[-1], hidden))
    end = x[torch.arange(len(ids)), ids.argmax(-1)]  # <|endoftext|> has the largest id, first one wins
    return hidden, model.text_projection(end)


if __name__ == "__main__":
    import arch

    torch.manual_seed(0)
    one, two = arch.make_text_encoders(100)
    arch.init_text(one), arch.init_text(two)
    ids = torch.randint(1, 98, (5, 77))
    ids[:, 0], ids[:, 9:] = 98, 99
    with torch.no_grad():
        a = one(ids, output_hidden_states=True).hidden_states[-2]
        b = two(ids, output_hidden_states=True)
        h, p = penultimate_and_pooled(two, ids)
        for name, x, y in (("one", penultimate(one, ids), a), ("two", h, b.hidden_states[-2]), ("pooled", p, b.text_embeds)):
            print(name, ((x - y).norm() / y.norm()).item())
            assert torch.allclose(x, y, atol=1e-5)
