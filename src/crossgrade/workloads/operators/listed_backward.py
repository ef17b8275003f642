"""Backward passes in the list of the catalogue; xpu-perf has none."""

from __future__ import annotations

from typing import Any

from crossgrade.workloads.operators.formats import FLOATS
from crossgrade.workloads.operators.info import ArgumentInfo, OperatorInfo, flag, size
from crossgrade.workloads.operators.listed_basic import COLUMNS, ROWS

MKN = (
    size("m", "rows of the left matrix", aliases=("M",)),
    size("k", "columns of the left matrix", aliases=("K",)),
    size("n", "columns of the right matrix", aliases=("N",)),
)
CONV2D = (
    size("batch_size", "images", unit="images"),
    size("in_channels", "channels of the input", unit="channels"),
    size("out_channels", "channels of the result", unit="channels"),
    size("height", "height of the input"),
    size("width", "width of the input"),
    size("kernel_size", "side of the kernel", 3),
    size("stride", "step of the kernel", 1),
    size("padding", "zeros at each border", 0, least=0),
)
SMALL_CONV2D = {
    "batch_size": 1, "in_channels": 16, "out_channels": 16, "height": 32, "width": 32,
    "kernel_size": 3, "padding": 1,
}  # fmt: skip
_SMALL = {"batch_size": 256, "dim_size": 1024}


def _backward(
    name: str, line: str, arguments: tuple[ArgumentInfo, ...], defaults: dict[str, Any]
) -> OperatorInfo:
    return OperatorInfo(
        name=name, group="backward", line=line, arguments=arguments, dtypes=FLOATS,
        defaults=defaults,
    )  # fmt: skip


BACKWARD: tuple[OperatorInfo, ...] = (
    _backward("gemm_backward", "gradients of both factors of a matrix product", MKN,
              {"m": 128, "k": 128, "n": 128}),
    _backward("softmax_backward", "gradient of the input of softmax of rows", (ROWS, COLUMNS),
              _SMALL),
    _backward("layer_norm_backward", "gradients of input, weight and bias of layer_norm",
              (ROWS, COLUMNS), _SMALL),
    _backward("rms_norm_backward", "gradients of input and weight of rms_norm", (ROWS, COLUMNS),
              _SMALL),
    _backward("gelu_backward", "gradient of the input of gelu", (ROWS, COLUMNS), _SMALL),
    _backward("silu_backward", "gradient of the input of silu", (ROWS, COLUMNS), _SMALL),
    _backward("flash_attention_backward", "gradients of queries, keys and values of attention",
              (size("batch_size", "sequences", 1, unit="sequences"),
               size("q_head_num", "heads of queries", unit="heads"),
               size("kv_head_num", "heads of keys and of values", unit="heads"),
               size("q_len", "queries", unit="tokens"),
               size("kv_len", "keys; as many as queries if not given", None, unit="tokens"),
               size("head_dim", "features of a head"),
               flag("causal", "whether a query sees earlier keys only", True)),
              {"batch_size": 1, "q_head_num": 4, "kv_head_num": 2, "q_len": 128,
               "head_dim": 64}),
    _backward("conv2d_backward", "gradients of input and weight of conv2d", CONV2D, SMALL_CONV2D),
    _backward("embedding_backward", "gradient of the table of embedding, dense",
              (size("src_batch_size", "rows of the table", unit="rows"),
               size("dst_batch_size", "tokens", unit="tokens"), COLUMNS),
              {"src_batch_size": 1024, "dst_batch_size": 256, "dim_size": 256}),
)  # fmt: skip
"""Backward passes."""
