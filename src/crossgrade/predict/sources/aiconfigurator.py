"""aiconfigurator's kernel tables (Apache-2.0, ai-dynamo/aiconfigurator@095f58a5), read as they are.

Latency is in ms there and in s here. Read with pyarrow. Must not know models or splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossgrade.values.kernel import Family, KernelRows

FOLDER = "perf/aiconfigurator"
"""Below the folder of the large data sets."""
CHIPS = {
    "a100_sxm": "a100", "h100_sxm": "h100", "b200_sxm": "b200", "b300_sxm": "b300",
    "gb200": "gb200", "l40s": "l40s", "rtx_pro_6000_server": "rtx-pro-6000",
}  # fmt: skip
"""Their name of a system -> ours. Systems that are not here are never read."""
FORMATS = {
    "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "fp8": "fp8", "fp8_block": "fp8_block",
    "nvfp4": "nvfp4", "int8": "int8", "int4_wo": "int4_wo", "int8_wo": "int8_wo",
    "w4a16_mxfp4": "mxfp4_wo", "w4a8_mxfp4_mxfp8": "mxfp4_a8",
}  # fmt: skip
"""Their name of a format -> ours."""
Columns = Mapping[str, NDArray[Any]]


def tables(data: Path, name: str) -> list[tuple[str, str, Path]]:
    """Return (our chip, stack, file) of every table with this name, such as `gemm_perf`.

    Args:
        data: the folder of the large data sets.
        name: how a file name ends, without `.parquet`.
    """
    found = []
    for path in sorted((data / FOLDER).glob(f"*__{name}.parquet")):
        system, _, stack, *_ = path.name.split("__")
        if system in CHIPS:
            found.append((CHIPS[system], stack, path))
    return found


def columns(path: Path) -> Columns:
    """Return a table as numpy arrays by name."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


def seconds(found: Columns) -> NDArray[np.float64]:
    """Return the times of a table, s."""
    return np.asarray(found["latency"], dtype=np.float64) / 1e3


def matmul(data: Path) -> dict[str, list[KernelRows]]:
    """Return dense products by chip, one entry per format and stack."""
    rows: dict[str, list[KernelRows]] = {}
    for chip, stack, path in tables(data, "gemm_perf"):
        rows.setdefault(chip, []).extend(products(columns(path), stack))
    return rows


def products(found: Columns, stack: str) -> Iterator[KernelRows]:
    """Yield the dense products of one table, one entry per format."""
    formats = np.array([FORMATS[name] for name in found["gemm_dtype"].astype(str).tolist()])
    sizes = {name: found[name].astype(np.float64) for name in ("m", "n", "k")}
    sizes = {"batch": np.ones(len(formats)), **sizes}
    yield from by_format(found, formats, family="matmul", op="mm", stack=stack, sizes=sizes)


def by_format(
    found: Columns,
    formats: NDArray[np.str_],
    *,
    family: Family,
    op: str,
    stack: str,
    sizes: Mapping[str, NDArray[np.float64]],
) -> Iterator[KernelRows]:
    """Yield the rows of one table, one entry per format.

    Args:
        found: the table.
        formats: our name of the format of each row, shape [rows].
        family: which sizes count.
        op: what is done.
        stack: whose kernels they are.
        sizes: the sizes, each of shape [rows].
    """
    every = KernelRows(family=family, op=op, format="", stack=stack, sizes=sizes,
                       seconds=seconds(found),
                       launched=found["kernel_source"].astype(str))  # fmt: skip
    for format in np.unique(formats):
        yield replace(every.take(formats == format), format=str(format))
