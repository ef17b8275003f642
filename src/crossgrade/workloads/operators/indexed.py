"""Builders of operators that read or write rows by an index.

Formulas for a table of r rows, a result of q rows, d columns, s bytes per element; an index is
int64, 8 bytes. Row numbers come each as often as the others, in random order. Must not know
targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

from crossgrade.workloads.operators.built import BuiltOperator
from crossgrade.workloads.operators.request import Request, bad
from crossgrade.workloads.operators.tensors import built, places, tensor, torch_dtype


def _sizes(request: Request) -> tuple[int, int, int]:
    rows, results, columns = request.sizes("src_batch_size", "dst_batch_size", "dim_size")
    return rows, results, columns


def _rows_read(rows: int, results: int, columns: int, itemsize: int) -> int:
    """Return bytes of the distinct rows that are read: min(r, q) d s."""
    return min(rows, results) * columns * itemsize


def _index_select(request: Request) -> BuiltOperator:
    """Return rows by their numbers: 0 flop, min(r, q) d s + 8 q + q d s bytes."""
    rows, results, columns = _sizes(request)
    dtype = torch_dtype(request.dtype)
    table, out = tensor(dtype, rows, columns), tensor(dtype, results, columns)
    index = tensor(torch.int64, results, fill=places(rows))
    read = _rows_read(rows, results, columns, dtype.itemsize)
    run: Callable[..., torch.Tensor] = (
        (lambda x, i: functional.embedding(i, x))
        if request.op == "embedding"
        else (lambda x, i: torch.index_select(x, 0, i))
    )
    return built(run, (table, index), (out,), flop=0, traffic=read + index.nbytes + out.nbytes)


def _gather(request: Request) -> BuiltOperator:
    """Return elements by an index: 0 flop, min(r, q) d s + 8 q + q d s bytes.

    The index is a column of row numbers spread over the columns with stride 0, as xpu-perf has it:
    8 q bytes.
    """
    rows, results, columns = _sizes(request)
    dtype = torch_dtype(request.dtype)
    table, out = tensor(dtype, rows, columns), tensor(dtype, results, columns)
    index = tensor(torch.int64, results, 1, fill=places(rows))
    read = _rows_read(rows, results, columns, dtype.itemsize)
    return built(
        lambda x, i: torch.gather(x, 0, i.expand(results, columns)), (table, index), (out,),
        flop=0, traffic=read + index.nbytes + out.nbytes,
    )  # fmt: skip


def _check_into(rows: int, results: int) -> None:
    if rows != results:
        raise bad("dst_batch_size", f"{results} is not src_batch_size, {rows}; every row has one")


def _scatter(request: Request) -> BuiltOperator:
    """Return rows written to other places: 0 flop, 2 r d s + 8 r bytes.

    In place, with as many places as rows and each once, as xpu-perf's index demands.
    """
    rows, results, columns = _sizes(request)
    _check_into(rows, results)
    table = tensor(torch_dtype(request.dtype), rows, columns)
    index = tensor(torch.int64, rows, 1, fill=places(results))
    return built(
        lambda out, i, x: out.scatter_(0, i.expand(rows, columns), x), (table, index, table), (),
        flop=0, traffic=2 * table.nbytes + index.nbytes, exportable=False,
    )  # fmt: skip


def _index_add(request: Request) -> BuiltOperator:
    """Return rows added to the rows that a list names: r d flop.

    In place. Traffic: r d s for the rows, 8 r for the list, 2 min(r, q) d s for the sums.
    """
    rows, results, columns = _sizes(request)
    dtype = torch_dtype(request.dtype)
    source, sums = tensor(dtype, rows, columns), tensor(dtype, results, columns)
    index = tensor(torch.int64, rows, fill=places(results))
    touched = 2 * _rows_read(rows, results, columns, dtype.itemsize)
    return built(
        lambda out, i, x: out.index_add_(0, i, x), (sums, index, source), (),
        flop=source.numel, traffic=source.nbytes + index.nbytes + touched, exportable=False,
        note="adds to the same result again and again; its values grow, their cost does not",
    )  # fmt: skip


BUILDERS: Mapping[str, Callable[[Request], BuiltOperator]] = {
    "index_select": _index_select, "embedding": _index_select, "gather": _gather,
    "scatter": _scatter, "index_add": _index_add,
}  # fmt: skip
"""Name -> builder."""
