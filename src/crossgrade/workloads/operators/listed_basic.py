"""Basic operators in the list of the catalogue: xpu-perf's 25, under its names and arguments."""

from __future__ import annotations

from crossgrade.workloads.operators.formats import FLOATS
from crossgrade.workloads.operators.info import (
    ArgumentInfo,
    OperatorInfo,
    flag,
    number_format,
    size,
)

ROWS = size("batch_size", "rows", unit="rows")
COLUMNS = size("dim_size", "columns", unit="elements per row")
TOKENS = size("num_tokens", "tokens, of all ranks of sequence parallelism", unit="tokens")
HIDDEN = size("hidden_size", "features of a token")
SP = size("sp_size", "ranks that the tokens are divided over", 1, unit="ranks")


def in_form(argument: ArgumentInfo, *forms: str) -> ArgumentInfo:
    """Return an argument that exists under some values of `arg_type` only."""
    return size(
        argument.name, argument.meaning, argument.default, least=argument.least, forms=forms,
        aliases=argument.aliases, unit=argument.unit,
    )  # fmt: skip


_PLAIN = (ROWS, COLUMNS)
_SMALL = {"batch_size": 256, "dim_size": 1024}
_ROWS_2D = (
    size("src_batch_size", "rows of the table", unit="rows"),
    size("dst_batch_size", "rows of the result", unit="rows"),
    COLUMNS,
)
_SMALL_INDEX = {"src_batch_size": 1024, "dst_batch_size": 1024, "dim_size": 128}


def _plain(name: str, line: str, dtypes: tuple[str, ...] = FLOATS) -> OperatorInfo:
    return OperatorInfo(
        name=name, group="basic", line=line, arguments=_PLAIN, dtypes=dtypes, defaults=_SMALL,
        xpu_perf=True,
    )  # fmt: skip


def _indexed(name: str, line: str) -> OperatorInfo:
    return OperatorInfo(
        name=name, group="basic", line=line, arguments=_ROWS_2D, dtypes=FLOATS,
        defaults=_SMALL_INDEX, xpu_perf=True,
    )  # fmt: skip


def _gemm() -> OperatorInfo:
    return OperatorInfo(
        name="gemm",
        group="basic",
        line="matrix product of [m, k] and [k, n]",
        arguments=(
            size("M", "rows of the left matrix", forms=("default",), aliases=("m",)),
            size("K", "columns of the left matrix", forms=("default",), aliases=("k",)),
            size("N", "columns of the right matrix", forms=("default",), aliases=("n",)),
            in_form(TOKENS, "llm"),
            in_form(HIDDEN, "llm"),
            size("new_hidden_size", "features of a token after it", forms=("llm",)),
            in_form(SP, "llm"),
            number_format("dst_dtype", "format of the product", FLOATS, None),
        ),
        dtypes=(*FLOATS, "tfloat32"),
        defaults={"M": 256, "K": 256, "N": 256},
        forms=("default", "llm"),
        xpu_perf=True,
    )


def _rms_norm() -> OperatorInfo:
    return OperatorInfo(
        name="rms_norm",
        group="basic",
        line="root-mean-square normalisation of rows, with a weight",
        arguments=(
            in_form(ROWS, "default"),
            in_form(COLUMNS, "default"),
            in_form(TOKENS, "llm"),
            in_form(HIDDEN, "llm"),
            flag("add_residual", "whether a residual is added first", False),
            number_format("dst_dtype", "format of the result", FLOATS, None),
        ),
        dtypes=FLOATS,
        defaults=_SMALL,
        forms=("default", "llm"),
        xpu_perf=True,
    )


def _softmax() -> OperatorInfo:
    return OperatorInfo(
        name="softmax",
        group="basic",
        line="softmax of rows",
        arguments=(
            size("batch_size", "rows, or sequences in the form llm"),
            in_form(COLUMNS, "default"),
            size("head_num", "heads", forms=("llm",), unit="heads"),
            size("q_seq_len", "queries", forms=("llm",), unit="tokens"),
            size("kv_seq_len", "keys", forms=("llm",), unit="tokens"),
        ),
        dtypes=FLOATS,
        defaults=_SMALL,
        forms=("default", "llm"),
        xpu_perf=True,
    )


def _topk() -> OperatorInfo:
    return OperatorInfo(
        name="topk",
        group="basic",
        line="the k largest of each row with their places, not sorted",
        arguments=(*_PLAIN, size("k", "how many")),
        dtypes=FLOATS,
        defaults={**_SMALL, "k": 8},
        xpu_perf=True,
    )


BASIC: tuple[OperatorInfo, ...] = (
    _gemm(),
    _plain("gelu", "Gaussian error linear unit (exact form, with erf)"),
    _plain("silu", "x times its logistic function"),
    _indexed("gather", "rows by an index as large as the result"),
    _indexed("index_select", "rows by a list of row numbers"),
    _indexed("embedding", "rows of a table by token numbers"),
    _indexed("scatter", "rows written to the places of an index, in place"),
    _indexed("index_add", "rows added to the rows that a list names, in place"),
    _plain("add", "sum of two matrices"),
    _plain("sub", "difference of two matrices"),
    _plain("mul", "product of two matrices, element by element"),
    _plain(
        "cast",
        "change of format: float32 to bfloat16, bfloat16 and float16 to float32",
        ("float32", "bfloat16", "float16"),
    ),
    _rms_norm(),
    _plain("layer_norm", "normalisation of rows to mean 0 and variance 1, with weight and bias"),
    _softmax(),
    _plain("reduce_max", "largest of each row, with its place"),
    _plain("reduce_min", "smallest of each row, with its place"),
    _plain("reduce_sum", "sum of each row"),
    _topk(),
    _plain("div", "quotient of two matrices, element by element"),
    _plain("cos", "cosine"),
    _plain("sin", "sine"),
    _plain("exp", "exponential"),
    _plain("log", "natural logarithm of positive numbers"),
    _plain("sqrt", "square root of positive numbers"),
)
"""xpu-perf's basic operators."""
