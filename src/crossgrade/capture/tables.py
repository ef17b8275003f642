"""Growing tables behind a capture: interned text, metadata, keys, values, storages.

Plain Python lists while recording; `columns()` turns them into the arrays of
`crossgrade.values.capture.COLUMNS`. Must not know torch.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable
from typing import Any

import numpy as np

from crossgrade.values.capture import COLUMNS


class Interner:
    """Gives each distinct entry a number, in order of first appearance."""

    def __init__(self, *first: Hashable) -> None:
        """Start with the given entries."""
        self.rows: list[Any] = list(first)
        self._index: dict[Hashable, int] = {row: i for i, row in enumerate(first)}

    def __call__(self, row: Hashable) -> int:
        """Return the number of `row`, new or old."""
        index = self._index.get(row)
        if index is None:
            index = self._index[row] = len(self.rows)
            self.rows.append(row)
        return index


class Ragged:
    """Rows of different length in one flat array with starts."""

    def __init__(self) -> None:
        self.starts = array("q", [0])
        self.flat = array("q")

    def append(self, row: list[int] | tuple[int, ...]) -> None:
        """Add one row."""
        self.flat.extend(row)
        self.starts.append(len(self.flat))


class Tables:
    """All tables of one capture under construction."""

    def __init__(self) -> None:
        self.operators = Interner()
        self.arguments = Interner()
        self.modules = Interner("")
        self.sources = Interner("")
        self.groups = Interner("")
        self.marks = Interner("")
        self.devices = Interner()
        self.formats = Interner("")
        self.names = Interner("")
        # (shape, strides, dtype code, device)
        self.metas = Interner()
        # (operator, arguments, input metas, output metas)
        self.keys = Interner()
        self.call: dict[str, array[int]] = {
            name: array("q") for name in ("key", "module", "source", "stage", "group", "mark")
        }
        self.inputs, self.outputs = Ragged(), Ragged()
        self.mutated, self.aliases = array("b"), array("b")
        self.value: dict[str, array[int]] = {
            name: array("q") for name in ("meta", "offset", "storage", "producer")
        }
        self.storage: dict[str, array[int]] = {
            name: array("q") for name in ("bytes", "role", "device", "name", "born", "died")
        }
        self.stored_bytes: dict[int, float] = {}
        self.stored_format: dict[int, int] = {}
        self.inner: list[tuple[int, int, int]] = []

    @property
    def calls(self) -> int:
        """Number of calls recorded so far."""
        return len(self.call["key"])

    def columns(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return the finished arrays, by the names and types of the schema."""
        raw: dict[str, Any] = {}
        raw |= self._meta_columns() | self._key_columns() | self._storage_columns()
        raw |= {f"call_{k}": v for k, v in self.call.items()}
        raw |= {f"value_{k}": v for k, v in self.value.items()}
        raw |= {
            "call_input_start": self.inputs.starts, "call_input": self.inputs.flat,
            "call_input_mutated": self.mutated,
            "call_output_start": self.outputs.starts, "call_output": self.outputs.flat,
            "call_output_alias": self.aliases,
        }  # fmt: skip
        for i, name in enumerate(("inner_key", "inner_operator", "inner_count")):
            raw[name] = [row[i] for row in self.inner]
        return {name: np.asarray(raw[name], dtype=dtype) for name, dtype in COLUMNS.items()}

    def texts(self) -> dict[str, tuple[str, ...]]:
        """Return the finished string tables."""
        return {
            name: tuple(getattr(self, name).rows)
            for name in (
                "operators", "arguments", "modules", "sources", "groups", "marks", "devices",
                "formats", "names",
            )
        }  # fmt: skip

    def _meta_columns(self) -> dict[str, Any]:
        shapes, strides = Ragged(), Ragged()
        for shape, stride, _, _ in self.metas.rows:
            shapes.append(shape)
            strides.append(stride)
        return {
            "meta_shape_start": shapes.starts, "meta_shape": shapes.flat,
            "meta_stride": strides.flat,
            "meta_dtype": [row[2] for row in self.metas.rows],
            "meta_device": [row[3] for row in self.metas.rows],
        }  # fmt: skip

    def _key_columns(self) -> dict[str, Any]:
        inputs, outputs = Ragged(), Ragged()
        for _, _, ins, outs in self.keys.rows:
            inputs.append(ins)
            outputs.append(outs)
        return {
            "key_operator": [row[0] for row in self.keys.rows],
            "key_arguments": [row[1] for row in self.keys.rows],
            "key_input_start": inputs.starts, "key_input_meta": inputs.flat,
            "key_output_start": outputs.starts, "key_output_meta": outputs.flat,
        }  # fmt: skip

    def _storage_columns(self) -> dict[str, Any]:
        count = len(self.storage["bytes"])
        calls = self.calls
        died = [calls if d < 0 else d for d in self.storage["died"]]
        sizes = self.storage["bytes"]
        return {f"storage_{k}": v for k, v in self.storage.items() if k != "died"} | {
            "storage_died": died,
            "storage_stored_bytes": [self.stored_bytes.get(i, sizes[i]) for i in range(count)],
            "storage_format": [self.stored_format.get(i, 0) for i in range(count)],
        }
