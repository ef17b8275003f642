"""Closed forms of language models from their configuration's fields: FLOPs and stored bytes.

Two per multiply-add, attention over the whole square (a mask does not make it cheaper), the output
head for the last position only. N = batch x tokens rows, T tokens, h hidden size.
"""

from __future__ import annotations


def moe_flops(config, batch, tokens, context=0):
    """Return the FLOPs of a forward pass: blocks plus the head.

    A block is its attention plus its feed-forward part. The first `first_k_dense_replace` blocks
    are dense: three matrices h x intermediate_size. The others have a router h x E, k experts per
    token of three matrices h x m, and shared experts of the same size that every token meets.
    """
    c = config
    rows, h, layers = batch * tokens, c["hidden_size"], c["num_hidden_layers"]
    experts = c.get("num_experts") or c.get("num_local_experts") or c.get("n_routed_experts")
    width = c.get("moe_intermediate_size") or c["intermediate_size"]
    met = c["num_experts_per_tok"] + c.get("n_shared_experts", 0)
    dense = c.get("first_k_dense_replace", 0)
    sparse_part = 2 * rows * (h * experts + met * 3 * h * width)
    dense_part = 2 * rows * 3 * h * c["intermediate_size"]
    attention = latent_attention if "kv_lora_rank" in c else grouped_attention
    head = 2 * batch * h * c["vocab_size"]
    return (
        layers * attention(c, batch, tokens, context)
        + dense * dense_part
        + (layers - dense) * sparse_part
        + head
    )


def grouped_attention(c, batch, tokens, context):
    """Return grouped-query attention: four projections, scores and their product with values.

    Queries and output have n heads of size d, keys and values g of them: 2 N h d (2 n + 2 g).
    Scores and values are 2 T S n d each, S = tokens + context; g does not matter there.
    """
    h, n, g = c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"]
    d = c.get("head_dim") or h // n
    projections = 2 * batch * tokens * h * d * (2 * n + 2 * g)
    return projections + 2 * batch * n * tokens * (tokens + context) * 2 * d


def latent_attention(c, batch, tokens, context):
    """Return multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1), naive form.

    Queries go through rank q, keys and values through rank r, each head has `nope` + `rope` sizes
    for the scores and `v` for the values: h q + q n (nope + rope) + h (r + rope) + n v h per row.
    transformers caches the latent and expands it for every position of the cache in every step,
    r n (nope + v) per cached position and new one. A lightning indexer (DeepSeek-V3.2) adds
    q i d_i + h d_i + h i per row and 2 T S i (d_i + 1) for the scores over i heads.
    """
    h, n, q, r = (
        c[k] for k in ("hidden_size", "num_attention_heads", "q_lora_rank", "kv_lora_rank")
    )
    nope, rope, v = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"]
    per_row = h * q + q * n * (nope + rope) + h * (r + rope) + n * v * h
    expanded = batch * (tokens + context) * r * n * (nope + v)
    square = batch * tokens * (tokens + context)
    total = 2 * batch * tokens * per_row + 2 * expanded + 2 * square * n * (nope + rope + v)
    if "index_n_heads" in c:
        i, d = c["index_n_heads"], c["index_head_dim"]
        total += 2 * batch * tokens * (q * i * d + h * d + h * i) + 2 * square * i * (d + 1)
    return total


def v4_bytes(c):
    """Return the stored bytes of DeepSeek-V4 without multi-token prediction, scales included.

    Experts are fp4 with a one-byte scale per 32 values, other linear layers fp8 with a one-byte
    scale per 128 x 128 block; embeddings, head, routers and the mixing of residual streams stay
    bf16. h hidden size, n heads of size d, q and o the ranks of queries and of the output's g
    groups. Attention: h q + q n d + h d + n d o + g o h. A compressor of `ratio` adds h d for
    values and as much for gates, twice that where neighbouring windows overlap (ratio 4), and
    there an indexer of i heads of size e: q i e + 4 h e + h i. Hyper-connections of m streams
    have m h x (m^2 + 2 m), twice per layer.
    """
    h, layers, m = c["hidden_size"], c["num_hidden_layers"], c["hc_mult"]
    n, d, q = c["num_attention_heads"], c["head_dim"], c["q_lora_rank"]
    o, g = c["o_lora_rank"], c["o_groups"]
    i, e = c["index_n_heads"], c["index_head_dim"]
    expert = 3 * h * c["moe_intermediate_size"]
    attention = h * q + q * n * d + h * d + n * d * o + g * o * h
    linear = layers * (attention + c["n_shared_experts"] * expert)
    for ratio in c["compress_ratios"][:layers]:
        linear += {0: 0, 4: 4 * h * d + q * i * e + 4 * h * e + h * i}.get(ratio, 2 * h * d)
    kept = 2 * c["vocab_size"] * h + layers * c["n_routed_experts"] * h
    kept += layers * 2 * m * h * (m * m + 2 * m)
    fp4, fp8, bf16 = 0.5 + 1 / 32, 1 + 1 / 128**2, 2
    return layers * c["n_routed_experts"] * expert * fp4 + linear * fp8 + kept * bf16
