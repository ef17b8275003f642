"""Operators of language models in the list of the catalogue: xpu-perf's 21."""

from __future__ import annotations

from typing import Any

from crossgrade.workloads.operators.formats import FLOATS, QUANTISED
from crossgrade.workloads.operators.info import (
    ArgumentInfo,
    OperatorInfo,
    choice,
    flag,
    number_format,
    size,
)
from crossgrade.workloads.operators.listed_basic import HIDDEN, SP, TOKENS

_NEW_HIDDEN = size("new_hidden_size", "features of a token after it")
_HEAD_DIM = size("head_dim", "features of a head")
_Q_HEADS = size("q_head_num", "heads of queries", unit="heads")
_KV_HEADS = size("kv_head_num", "heads of keys and of values", unit="heads")
_QUANT_DST = number_format("dst_dtype", "format of the quantised tokens", QUANTISED, "int8")
_MOST_EXPERTS = 1 << 14
_EXPERTS = size("num_experts", "experts", most=_MOST_EXPERTS, unit="experts")
_TOPK = size("topk", "experts per token", most=_MOST_EXPERTS, unit="experts")
_EP = size("ep_size", "ranks that the experts are divided over", 1, unit="ranks")
_EP_RANK = size("ep_rank", "which of them this is", 0, least=0, unit="")
_MOE = (TOKENS, HIDDEN, _EXPERTS, _TOPK, _EP, _EP_RANK)
_RESIDUAL = (
    size("sp_size", "ranks that the residual is divided over", 1, unit="ranks"),
    size("sp_rank", "which of them this is", 0, least=0, unit=""),
    ArgumentInfo(name="res_scale", meaning="factor of the residual", kind="number", default=1.0),
)
_WEIGHTS = (*QUANTISED, "int4", *FLOATS)
_COMPUTED = (*QUANTISED, *FLOATS)
_PRODUCT = (
    number_format("w_dtype", "format of the weight", _WEIGHTS, "int8"),
    number_format("compute_dtype", "format that the product is computed in", _COMPUTED, "int8"),
    number_format("dst_dtype", "format of the result", FLOATS, "bfloat16"),
)
_SEQUENCES = (
    choice("attn_mode", "prefill or decode", ("prefill", "decode"), "prefill"),
    size("batch_size", "sequences", 1, most=1 << 16, forms=("llm",), unit="sequences"),
    size("cache_len", "tokens already cached", least=0, forms=("llm",), unit="tokens"),
    size(
        "q_len", "new tokens per sequence; 1 where decode gives none", None, forms=("llm",),
        unit="tokens",
    ),
    ArgumentInfo(
        name="q_lens", meaning="new tokens of each sequence", kind="sizes", unit="tokens",
        forms=("batch_llm",),
    ),
    ArgumentInfo(
        name="cache_lens", meaning="cached tokens of each sequence", kind="sizes", least=0,
        unit="tokens", forms=("batch_llm",),
    ),
    _Q_HEADS, _KV_HEADS, _HEAD_DIM,
)  # fmt: skip
_CACHE = (
    size("block_size", "tokens per page of the cache; 0: one row per sequence", 0, least=0,
         unit="tokens"),
    ArgumentInfo(
        name="slot_mapping", meaning="row of each sequence in a cache without pages",
        kind="sizes", least=0, default=None,
    ),
    ArgumentInfo(
        name="block_table", meaning="pages of each sequence, -1 for none", kind="table", least=-1,
        default=None,
    ),
)  # fmt: skip
_SMALL = {"num_tokens": 64, "hidden_size": 512}
_SMALL_MOE = {
    "num_tokens": 64, "hidden_size": 256, "num_experts": 16, "topk": 4, "ep_size": 4,
}  # fmt: skip
_SMALL_HEADS = {"q_head_num": 8, "kv_head_num": 2, "head_dim": 64}
_SMALL_ATTENTION = {
    "attn_mode": "prefill", "batch_size": 1, "cache_len": 0, "q_len": 128, **_SMALL_HEADS,
}  # fmt: skip
_INT8_TO_BF16 = {"w_dtype": "int8", "compute_dtype": "int8", "dst_dtype": "bfloat16"}
_IN_SEQUENCES = ("llm", "batch_llm")


def _llm(
    name: str, line: str, arguments: tuple[ArgumentInfo, ...], defaults: dict[str, Any],
    *, dtypes: tuple[str, ...] = FLOATS, dtype: str = "bfloat16", implied: str = "",
    forms: tuple[str, ...] = ("llm",),
) -> OperatorInfo:  # fmt: skip
    return OperatorInfo(
        name=name, group="llm", line=line, arguments=arguments, dtypes=dtypes, defaults=defaults,
        default_dtype=dtype, forms=forms, implied_dtype=implied, xpu_perf=True,
    )  # fmt: skip


def _norms() -> tuple[OperatorInfo, ...]:
    head = (TOKENS, SP, _HEAD_DIM)
    return (
        _llm("add_rms_norm", "residual added, then rms_norm; gives both", (TOKENS, HIDDEN, SP),
             _SMALL),
        _llm("add_rms_norm_dynamic_quant",
             "residual added, rms_norm, then tokens quantised with a scale each",
             (TOKENS, HIDDEN, SP, _QUANT_DST,
              flag("add_residual", "whether a residual is added", True),
              choice("output_mode", "what else it gives: the sum (res), the norm, or nothing",
                     ("none", "res", "norm"), "none")),
             {**_SMALL, "dst_dtype": "int8"}),
        _llm("head_rms_norm", "rms_norm of some heads of a token, in place",
             (*head,
              size("total_head_num", "heads of a token", unit="heads"),
              size("norm_head_start", "first head that is normalised", least=0, unit=""),
              size("norm_head_num", "heads that are normalised", unit="heads")),
             {"num_tokens": 64, "total_head_num": 12, "head_dim": 64, "norm_head_start": 0,
              "norm_head_num": 8}),
        _llm("head_rms_norm_dynamic_quant",
             "rms_norm of all heads, then tokens quantised with a scale each",
             (*head, size("head_num", "heads of a token", unit="heads"), _QUANT_DST),
             {"num_tokens": 64, "head_num": 8, "head_dim": 64, "dst_dtype": "int8"}),
        _llm("qk_rms_norm", "rms_norm of the heads of queries and of keys, in place",
             (TOKENS, SP, _Q_HEADS, _KV_HEADS,
              size("qk_head_dim", "features of a head of queries or keys"),
              size("v_head_dim", "features of a head of values; as queries if not given", None)),
             {"num_tokens": 64, "q_head_num": 8, "kv_head_num": 2, "qk_head_dim": 64}),
    )  # fmt: skip


def _attention() -> tuple[OperatorInfo, ...]:
    caches = ("bfloat16", "float16", "float32", "float64", *QUANTISED)
    floats_or_quantised = (*FLOATS, *QUANTISED)
    return (
        _llm("rotary_embedding", "queries and keys turned by their positions, in place",
             (*_SEQUENCES, *_CACHE,
              size("rope_offset", "first feature of a head that is turned", 0, least=0, unit=""),
              size("rope_dim", "features of a head that are turned")),
             {**_SMALL_ATTENTION, "rope_offset": 0, "rope_dim": 64},
             implied="bfloat16", forms=_IN_SEQUENCES),
        _llm("store_kv_cache", "keys and values of new tokens written to the cache, in place",
             (*_SEQUENCES, *_CACHE,
              choice("store_mode", "keys, values or both", ("both", "k", "v"), "both"),
              number_format("cache_dtype", "format of the cache", caches, "bfloat16")),
             {**_SMALL_ATTENTION, "block_size": 32, "store_mode": "both",
              "cache_dtype": "bfloat16"},
             implied="bfloat16", forms=_IN_SEQUENCES),
        _llm("flash_attention", "causal attention of new tokens over the cache",
             (*_SEQUENCES, *_CACHE,
              number_format("cache_dtype", "format of the cache", caches, "bfloat16"),
              number_format("qk_compute_dtype", "format of queries times keys",
                            floats_or_quantised, None),
              number_format("pv_compute_dtype", "format of weights times values",
                            floats_or_quantised, None),
              number_format("dst_dtype", "format of the result", FLOATS, "bfloat16")),
             {**_SMALL_ATTENTION, "block_size": 32},
             dtypes=floats_or_quantised, implied="bfloat16", forms=_IN_SEQUENCES),
    )  # fmt: skip


def _products() -> tuple[OperatorInfo, ...]:
    token_product = (TOKENS, HIDDEN, _NEW_HIDDEN, SP)
    return (
        _llm("quant_matmul", "quantised tokens times a quantised weight, scaled",
             (*token_product, *_PRODUCT,
              flag("has_bias", "whether a bias is added", False),
              flag("transpose_o", "whether the result is laid out by rank", False)),
             {**_SMALL, "new_hidden_size": 512, **_INT8_TO_BF16},
             dtypes=_COMPUTED, dtype="int8", implied="int8"),
        _llm("scale_dynamic_quant", "tokens smoothed and quantised with a scale each",
             (TOKENS, HIDDEN, SP, _QUANT_DST), {**_SMALL, "dst_dtype": "int8"},
             implied="bfloat16"),
        _llm("swiglu", "SiLU of one half of the features times the other half",
             (TOKENS, HIDDEN, SP), _SMALL),
        _llm("swiglu_dynamic_quant", "swiglu, then tokens quantised with a scale each",
             (TOKENS, HIDDEN, SP, _QUANT_DST), {**_SMALL, "dst_dtype": "int8"}),
        _llm("quant_group_gemm_reduce_sum",
             "quantised product for each rank's share of the features, summed over the ranks",
             (*token_product, number_format("dst_dtype", "format of the result", FLOATS),
              flag("trans_w", "whether the weight lies as [new_hidden_size, hidden_size]", False)),
             {**_SMALL, "new_hidden_size": 256, "sp_size": 2, "dst_dtype": "bfloat16"},
             dtypes=QUANTISED, dtype="int8"),
    )  # fmt: skip


def _experts() -> tuple[OperatorInfo, ...]:
    return (
        _llm("moe_gating_gemm", "score of each expert for each token",
             (TOKENS, HIDDEN, _EXPERTS, SP,
              number_format("compute_dtype", "format of the product", FLOATS, None),
              number_format("dst_dtype", "format of the scores", FLOATS, None)),
             {**_SMALL, "num_experts": 64}, dtype="float32", implied="float32"),
        _llm("moe_softmax_topk", "the best experts of each token and their weights",
             (TOKENS, _EXPERTS, _TOPK, SP,
              choice("compute_mode", "softmax before or after the choice",
                     ("pre-softmax", "post-softmax"))),
             {"num_tokens": 256, "num_experts": 64, "topk": 8, "compute_mode": "pre-softmax"},
             dtype="float32"),
        _llm("moe_scatter_dynamic_quant",
             "tokens copied to the experts of this rank and quantised with a scale each",
             (*_MOE, _QUANT_DST), {**_SMALL_MOE, "dst_dtype": "int8"}),
        _llm("moe_quant_group_gemm", "quantised tokens times the weights of their experts",
             (*_MOE, _NEW_HIDDEN, size("sp_size", "taken and not used, as in xpu-perf", 1),
              *_PRODUCT),
             {**_SMALL_MOE, "new_hidden_size": 128, **_INT8_TO_BF16},
             dtypes=_COMPUTED, dtype="int8", implied="int8"),
        _llm("moe_quant_group_gemm_combine",
             "moe_quant_group_gemm, then moe_gather of its result",
             (*_MOE, _NEW_HIDDEN, *_RESIDUAL, *_PRODUCT),
             {**_SMALL_MOE, "new_hidden_size": 128, **_INT8_TO_BF16},
             dtypes=_COMPUTED, dtype="int8", implied="int8"),
        _llm("moe_swiglu", "swiglu of the tokens of this rank's experts", _MOE, _SMALL_MOE,
             implied="bfloat16"),
        _llm("moe_swiglu_dynamic_quant",
             "moe_swiglu, then tokens quantised with a scale each, smoothed by expert",
             (*_MOE, _QUANT_DST), {**_SMALL_MOE, "dst_dtype": "int8"}, implied="bfloat16"),
        _llm("moe_gather", "weighted results of the experts added to the residual, by token",
             (*_MOE, *_RESIDUAL), _SMALL_MOE, implied="bfloat16"),
    )  # fmt: skip


LLM: tuple[OperatorInfo, ...] = (*_norms(), *_attention(), *_products(), *_experts())
"""xpu-perf's operators of language models."""
