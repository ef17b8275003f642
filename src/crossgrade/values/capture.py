"""The portable description of one execution: the sequence of operators a model dispatches.

A Capture is columnar: integer columns over tables of operators, argument sets, tensor metadata,
values and storages. Later rooms price, check, lower and replay it without the model and without
torch. This module holds the schema and the read access; it must not know how a capture is made
(`crossgrade.capture`), and imports no numpy: the columns are numpy arrays that were given to it.

Units: sizes in elements unless the name says bytes; `born` and `died` count calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from crossgrade.values.precision import DTYPES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from crossgrade.values.workload import Workload

    Column = NDArray[np.int64] | NDArray[np.int32] | NDArray[np.int8] | NDArray[np.float64]

CAPTURE_SCHEMA: Final = 1
"""Version of the column layout below; a reader refuses a larger one."""

Role = Literal[
    "activation", "parameter", "buffer", "input", "kv", "gradient", "optimizer", "constant",
]  # fmt: skip
ROLES: tuple[Role, ...] = (
    "activation", "parameter", "buffer", "input", "kv", "gradient", "optimizer", "constant",
)  # fmt: skip
"""What a storage holds; the index is its code. `kv` also names recurrent state kept over steps."""

Stage = Literal["forward", "backward", "optimizer"]
STAGES: tuple[Stage, ...] = ("forward", "backward", "optimizer")
"""Which part of a step a call belongs to; the index is its code."""

ALIAS_NONE, ALIAS_VIEW, ALIAS_SAME = 0, 1, 2
"""An output's relation to the inputs: fresh storage, a view of one, the very tensor written."""

COLUMNS: Mapping[str, str] = {
    # tensor metadata, interned: shape and strides in elements
    "meta_shape_start": "int64", "meta_shape": "int64", "meta_stride": "int64",
    "meta_dtype": "int8", "meta_device": "int8",
    # distinct calls, interned: operator, arguments, metadata of inputs and outputs
    "key_operator": "int32", "key_arguments": "int32",
    "key_input_start": "int64", "key_input_meta": "int32",
    "key_output_start": "int64", "key_output_meta": "int32",
    # calls, in order of dispatch
    "call_key": "int32", "call_module": "int32", "call_source": "int32", "call_stage": "int8",
    "call_group": "int32", "call_mark": "int32",
    "call_input_start": "int64", "call_input": "int32", "call_input_mutated": "int8",
    "call_output_start": "int64", "call_output": "int32", "call_output_alias": "int8",
    # values: one tensor at one version
    "value_meta": "int32", "value_offset": "int64", "value_storage": "int32",
    "value_producer": "int32",
    # storages: what holds memory; born -1 = before the first call, died = calls: still alive
    "storage_bytes": "int64", "storage_stored_bytes": "float64", "storage_format": "int32",
    "storage_role": "int8", "storage_device": "int8", "storage_name": "int32",
    "storage_born": "int32", "storage_died": "int32",
    # what a composite operator launches where it is not native, per distinct call
    "inner_key": "int32", "inner_operator": "int32", "inner_count": "int32",
}  # fmt: skip
"""Every column and its element type. `*_start` columns have one entry more than their rows."""

TABLES: tuple[str, ...] = (
    "operators", "arguments", "modules", "sources", "groups", "marks", "devices", "formats",
    "names",
)  # fmt: skip
"""String tables. Index 0 of modules, sources, groups, marks, formats and names is empty text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorMeta:
    """Shape, strides, dtype and device of one tensor."""

    shape: tuple[int, ...]
    """Elements per dimension."""
    strides: tuple[int, ...]
    """Step per dimension, elements."""
    dtype: str
    """torch's name, such as `bfloat16`."""
    device: str
    """`accel` for the chip, `cpu` for the host."""

    @property
    def numel(self) -> int:
        """Number of elements."""
        total = 1
        for size in self.shape:
            total *= size
        return total

    @property
    def nbytes(self) -> float:
        """Elements times storage per element."""
        return self.numel * DTYPES_BYTES[self.dtype]


DTYPES_BYTES: dict[str, float] = {d.name: d.bytes for d in DTYPES}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallKey:
    """One distinct call: everything that its price can depend on."""

    index: int
    """Row among the keys."""
    operator: str
    """Overload with namespace, such as `aten.add.Tensor`; `.default` is written out."""
    arguments: str
    """JSON list `[args, kwargs]`; a tensor stands as `{"t": i}`, i-th input."""
    inputs: tuple[TensorMeta, ...]
    """Tensor inputs, in order of appearance."""
    outputs: tuple[TensorMeta, ...]
    """Tensor outputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """One execution of one workload, call by call."""

    schema: int = CAPTURE_SCHEMA
    """Version of the layout."""
    workload: Workload
    """What was run."""
    environment: Mapping[str, str]
    """Versions that shaped the sequence: torch, transformers, python, attention, experts."""
    tables: Mapping[str, tuple[str, ...]]
    """String tables, by the names in TABLES."""
    columns: Mapping[str, Column]
    """Arrays, by the names in COLUMNS."""
    notes: tuple[str, ...] = ()
    """What was left out or decided, in words."""
    _keys: dict[int, CallKey] = field(default_factory=dict, repr=False, compare=False)

    # sizes -------------------------------------------------------------------------------------
    @property
    def calls(self) -> int:
        """Number of dispatched calls."""
        return len(self.columns["call_key"])

    @property
    def keys(self) -> int:
        """Number of distinct calls."""
        return len(self.columns["key_operator"])

    @property
    def storages(self) -> int:
        """Number of storages."""
        return len(self.columns["storage_bytes"])

    # access ------------------------------------------------------------------------------------
    def meta(self, index: int) -> TensorMeta:
        """Return one interned tensor description."""
        c = self.columns
        a, b = int(c["meta_shape_start"][index]), int(c["meta_shape_start"][index + 1])
        return TensorMeta(
            shape=tuple(c["meta_shape"][a:b].tolist()),
            strides=tuple(c["meta_stride"][a:b].tolist()),
            dtype=DTYPES[int(c["meta_dtype"][index])].name,
            device=self.tables["devices"][int(c["meta_device"][index])],
        )

    def key(self, index: int) -> CallKey:
        """Return one distinct call."""
        if index not in self._keys:
            c = self.columns
            ia, ib = c["key_input_start"][index : index + 2].tolist()
            oa, ob = c["key_output_start"][index : index + 2].tolist()
            self._keys[index] = CallKey(
                index=index,
                operator=self.tables["operators"][int(c["key_operator"][index])],
                arguments=self.tables["arguments"][int(c["key_arguments"][index])],
                inputs=tuple(self.meta(m) for m in c["key_input_meta"][ia:ib].tolist()),
                outputs=tuple(self.meta(m) for m in c["key_output_meta"][oa:ob].tolist()),
            )
        return self._keys[index]

    def iter_keys(self) -> Iterator[CallKey]:
        """Yield every distinct call, in order of first appearance."""
        for index in range(self.keys):
            yield self.key(index)

    def inner(self, key: int) -> tuple[tuple[str, int], ...]:
        """Return what a composite key launches: (operator, count) pairs; empty if it is not one."""
        c = self.columns
        rows = (c["inner_key"] == key).nonzero()[0].tolist()
        names = self.tables["operators"]
        return tuple((names[int(c["inner_operator"][r])], int(c["inner_count"][r])) for r in rows)

    def inputs_of(self, call: int) -> list[int]:
        """Return the value ids that a call reads."""
        a, b = self.columns["call_input_start"][call : call + 2].tolist()
        return [int(v) for v in self.columns["call_input"][a:b].tolist()]

    def outputs_of(self, call: int) -> list[int]:
        """Return the value ids that a call gives."""
        a, b = self.columns["call_output_start"][call : call + 2].tolist()
        return [int(v) for v in self.columns["call_output"][a:b].tolist()]

    def place(self, call: int) -> str:
        """Return module path and source line of a call, for a person."""
        module = self.tables["modules"][int(self.columns["call_module"][call])]
        source = self.tables["sources"][int(self.columns["call_source"][call])]
        return f"{module or '(top)'} at {source}" if source else module or "(top)"
