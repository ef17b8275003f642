"""The dispatch mode that writes down every operator, its tensors and their lifetimes.

Sits above a fake tensor mode: each call first runs on fake tensors, then is recorded. Storages are
watched by weak references, so `born` and `died` are what eager execution does, autograd's saved
tensors included. Must not know chips, prices or models.
"""

from __future__ import annotations

import functools
import json
import weakref
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

from crossgrade.capture.modulestack import ModuleStack, SourceLines
from crossgrade.capture.policies import policy_for
from crossgrade.capture.replay import Replay, Replays, answered, key_of
from crossgrade.capture.shares import follow
from crossgrade.capture.tables import Tables
from crossgrade.values.capture import (
    ALIAS_NONE,
    ALIAS_SAME,
    ALIAS_VIEW,
    ROLES,
    STAGES,
    Role,
    Stage,
)
from crossgrade.values.precision import DTYPE_CODE

_ROLE_CODE = {role: i for i, role in enumerate(ROLES)}
_TENSOR = "\0t"
_DEVICE = torch.ops.prim.device.default
NOT_OPERATORS = frozenset({"prim", "profiler"})
"""Namespaces of calls that compute nothing: device queries and profiler ranges."""
Writes = dict[Any, tuple[frozenset[int], frozenset[str]]]
"""Operator -> positions and names of the arguments that it writes."""


class Recorder(TorchDispatchMode):
    """Records calls into `Tables` while active."""

    def __init__(
        self, modules: ModuleStack, device_names: dict[str, str], known: Replays | None = None
    ) -> None:
        """Record under the given module stack.

        Args:
            modules: says which module runs.
            device_names: device type -> shown name.
            known: calls that were met before under the same fake mode; new ones are added.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.tables = Tables()
        self.stage: Stage = "forward"
        self.default_role: Role = "activation"
        self._modules = modules
        self._sources = SourceLines()
        self._device_names = device_names
        self._dtypes = {getattr(torch, n): c for n, c in DTYPE_CODE.items() if hasattr(torch, n)}
        self._storages: dict[int, int] = {}
        self._watchers: dict[int, Any] = {}
        self._writes: Writes = {}
        self._stage_code = {stage: i for i, stage in enumerate(STAGES)}
        self._by_sequence: dict[int, tuple[int, int]] = {}
        self._texts: dict[Any, str] = {}
        self._known: Replays = {} if known is None else known
        self._replays: dict[Any, Replay | None] = {}
        self._names: dict[Any, int] = {}
        self.examples: dict[int, tuple[Any, Any, Any]] = {}

    # dispatch ----------------------------------------------------------------------------------
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: nothing is compiled under a capture, and the guard costs every call."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one operator on fake tensors and record it."""
        kwargs = kwargs or {}
        if func.namespace in NOT_OPERATORS:
            return beside(func, args, kwargs)
        policy = policy_for(func, args)
        # Before the call: an in-place operator may change metadata of its input.
        template, tensors, written = flattened(func, args, kwargs, self._writes)
        inputs = [self.value_of(t) for t in tensors]
        if policy is not None:
            result = policy.answer(*args, **kwargs)
        else:
            metas = self.tables.value["meta"]
            shape = (func, template, tuple([metas[v] for v in inputs]))
            replay = self._replays.get(shape)
            if replay is not None:
                result = replay.result(tensors)
            else:
                key = key_of(func, template, tensors)
                result = answered(self._known, key, func, args, kwargs, tensors, written)
                self._replays[shape] = self._known[key] if key else None
        follow(func, args, result)
        self._record(func, template, tensors, inputs, written, result, policy)
        return result

    def _record(
        self,
        func: Any,
        template: Any,
        tensors: list[torch.Tensor],
        inputs: list[int],
        written: list[int],
        result: Any,
        policy: Any,
    ) -> None:
        """Append one call."""
        tables = self.tables
        metas = tables.value["meta"]
        outputs = self._record_outputs(tensors, inputs, written, result)
        key = tables.keys(
            (
                tables.operators(str(func)),
                tables.arguments(self._arguments_text(template)),
                tuple([metas[v] for v in inputs]),
                tuple([metas[v] for v in outputs]),
            )
        )
        if key not in self.examples:
            self.examples[key] = (func, template, tensors_meta(tensors))
        flags = bytearray(len(inputs))
        for i in written:
            flags[i] = 1
        tables.mutated.frombytes(bytes(flags))
        tables.inputs.append(inputs)
        tables.outputs.append(outputs)
        module, source = self._whereabouts()
        row = tables.call
        row["key"].append(key)
        row["module"].append(module)
        row["source"].append(source)
        row["stage"].append(self._stage_code[self.stage])
        row["group"].append(tables.groups(_process_group(func, template)))
        row["mark"].append(0 if policy is None else tables.marks(policy.text))

    def _record_outputs(
        self, tensors: list[torch.Tensor], inputs: list[int], written: list[int], result: Any
    ) -> list[int]:
        """Give every output a value and its relation to the inputs; return the values."""
        tables = self.tables
        call = tables.calls
        storages = tables.value["storage"]
        in_storages = {storages[v] for v in inputs}
        same = {id(tensors[i]) for i in written}
        outputs: list[int] = []
        for tensor in _tensors_of(result):
            before = len(tables.storage["bytes"])
            value = self._new_value(tensor, call)
            outputs.append(value)
            if id(tensor) in same:
                tables.aliases.append(ALIAS_SAME)
                same.discard(id(tensor))
            elif storages[value] < before and storages[value] in in_storages:
                tables.aliases.append(ALIAS_VIEW)
            else:
                tables.aliases.append(ALIAS_NONE)
        for i in written:
            # Written, but not returned (foreach): its next reader sees the new version.
            if id(tensors[i]) in same:
                outputs.append(self._new_value(tensors[i], call))
                tables.aliases.append(ALIAS_SAME)
        return outputs

    def _arguments_text(self, template: Any) -> str:
        """Return the arguments as JSON, tensors as `{"t": i}`."""
        text = self._texts.get(template)
        if text is None:
            text = self._texts[template] = _arguments_json(template)
        return text

    def _whereabouts(self) -> tuple[int, int]:
        """Return module and source ids of the current call."""
        if self.stage == "backward":
            node: Any = torch._C._current_autograd_node()
            if node is None:
                return 0, 0
            return self._by_sequence.get(node._sequence_nr(), (0, 0))
        found = self._sources.current()
        source = 0
        if found is not None:
            known = self._names.get(found)
            if known is None:
                known = self._names[found] = self.tables.sources(self._sources.show(*found))
            source = known
        module = self.tables.modules(self._modules.path)
        if torch.is_grad_enabled():
            # The autograd node of this call was made just before the call reached this mode.
            self._by_sequence[torch.autograd._get_sequence_nr() - 1] = (module, source)  # type: ignore[attr-defined]
        return module, source

    # values and storages -----------------------------------------------------------------------
    def value_of(self, tensor: torch.Tensor) -> int:
        """Return the value id of a tensor; a tensor met for the first time is an outside value."""
        value: int | None = getattr(tensor, "_crossgrade_value", None)
        if value is not None and value[0] is self:  # type: ignore[index]
            return int(value[1])  # type: ignore[index]
        return self._new_value(tensor, -1)

    def _new_value(self, tensor: torch.Tensor, producer: int) -> int:
        tables = self.tables
        storage = self._storage_of(tensor, producer)
        device = tensor.fake_device.type if isinstance(tensor, FakeTensor) else tensor.device.type
        meta = tables.metas(
            (
                tuple(tensor.shape),
                tuple(tensor.stride()) if tensor.layout is torch.strided else (),
                self._dtypes[tensor.dtype],
                tables.devices(self._device_names.get(device, device)),
            )
        )
        value = len(tables.value["meta"])
        row = tables.value
        row["meta"].append(meta)
        row["offset"].append(int(tensor.storage_offset()) if tensor.layout is torch.strided else 0)
        row["storage"].append(storage)
        row["producer"].append(producer)
        tensor._crossgrade_value = (self, value)  # type: ignore[attr-defined]
        return value

    def _storage_of(self, tensor: torch.Tensor, producer: int) -> int:
        """Return the storage id; a new storage is watched until it is freed."""
        untyped = tensor.untyped_storage()
        address = untyped._cdata
        known = self._storages.get(address)
        if known is not None:
            return known
        tables = self.tables
        index = len(tables.storage["bytes"])
        device = tensor.fake_device.type if isinstance(tensor, FakeTensor) else tensor.device.type
        outside: Role = "constant" if producer < 0 else self.default_role
        row = tables.storage
        row["bytes"].append(untyped.nbytes())
        row["role"].append(_ROLE_CODE[outside])
        row["device"].append(tables.devices(self._device_names.get(device, device)))
        row["name"].append(0)
        row["born"].append(producer)
        row["died"].append(-1)
        self._storages[address] = index
        self._watchers[address] = weakref.ref(
            untyped, functools.partial(self._freed, address, index)
        )
        return index

    def _freed(self, address: int, index: int, _: Any) -> None:
        """Note the death of a storage: it was alive up to the call recorded last."""
        self.tables.storage["died"][index] = max(self.tables.calls - 1, 0)
        self._storages.pop(address, None)
        self._watchers.pop(address, None)

    def tag(self, tensor: torch.Tensor, role: Role, name: str = "") -> int:
        """Give the storage of a tensor a role and a name; return its id."""
        value = self.value_of(tensor)
        storage = self.tables.value["storage"][value]
        self.tables.storage["role"][storage] = _ROLE_CODE[role]
        if name:
            self.tables.storage["name"][storage] = self.tables.names(name)
        return storage

    def stop_watching(self) -> None:
        """Forget the watchers: what is alive now is alive at the end."""
        self._watchers.clear()


def beside(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the answer to a call that computes nothing."""
    if func is _DEVICE and isinstance(args[0], FakeTensor):
        return args[0].fake_device
    return func(*args, **kwargs)


def flattened(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], known: Writes
) -> tuple[Any, list[torch.Tensor], list[int]]:
    """Return a hashable template of the arguments, the tensors, and which are written.

    `known`: operator -> its written arguments, filled as operators are met.
    """
    writes = known.get(func)
    if writes is None:
        writes = known[func] = _written_arguments(func)
    tensors: list[torch.Tensor] = []
    written: list[int] = []
    shown: list[Any] = []
    for position, value in enumerate(args):
        before = len(tensors)
        shown.append(_template(value, tensors))
        if position in writes[0]:
            written.extend(range(before, len(tensors)))
    named: list[Any] = []
    for name, value in kwargs.items():
        before = len(tensors)
        named.append((name, _template(value, tensors)))
        if name in writes[1]:
            written.extend(range(before, len(tensors)))
    return (tuple(shown), tuple(named)), tensors, written


def _written_arguments(func: Any) -> tuple[frozenset[int], frozenset[str]]:
    """Return positions and names of the arguments that the schema says are written."""
    positions, names = set(), set()
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            names.add(argument.name)
            positions.add(position)
    return frozenset(positions), frozenset(names)


def _template(value: Any, tensors: list[torch.Tensor]) -> Any:
    """Return a hashable stand-in; tensors are collected in order."""
    if isinstance(value, torch.Tensor):
        tensors.append(value)
        return _TENSOR
    if isinstance(value, (list, tuple)):
        return tuple([_template(v, tensors) for v in value])
    if isinstance(value, float):
        # 1 and 1.0 and True are equal as keys and different as arguments.
        return ("\0f", value)
    if isinstance(value, bool):
        return ("\0b", value)
    if isinstance(value, torch.Generator):
        return "generator"
    return value


def _arguments_json(template: Any) -> str:
    """Return `[args, kwargs]` as JSON."""
    counter = [0]
    shown = [_jsonable(v, counter) for v in template[0]]
    named = {name: _jsonable(v, counter) for name, v in template[1]}
    return json.dumps([shown, named], separators=(",", ":"))


def _jsonable(value: Any, counter: list[int]) -> Any:
    """Return a JSON value for one entry of a template."""
    if isinstance(value, str) and value == _TENSOR:
        counter[0] += 1
        return {"t": counter[0] - 1}
    if isinstance(value, tuple):
        if len(value) == 2 and value[0] in ("\0f", "\0b"):
            number = value[1]
            finite = not isinstance(number, float) or number - number == 0
            return number if finite else str(number)
        return [_jsonable(v, counter) for v in value]
    if value is None or isinstance(value, (int, str)):
        return value
    return str(value)


def _tensors_of(result: Any) -> list[torch.Tensor]:
    """Return the tensors of an operator's result, in order."""
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, (list, tuple)):
        return [t for item in result for t in _tensors_of(item)]
    return []


def tensors_meta(tensors: list[torch.Tensor]) -> list[tuple[Any, ...]]:
    """Return what is needed to make fake tensors like these again."""
    return [
        (
            tuple(t.shape),
            tuple(t.stride()) if t.layout is torch.strided else (),
            t.dtype,
            t.fake_device if isinstance(t, FakeTensor) else t.device,
        )
        for t in tensors
    ]


def _process_group(func: Any, template: Any) -> str:
    """Return the process group that a collective names, empty for every other operator."""
    if "c10d" not in func.namespace:
        return ""
    texts = [v for v in template[0] if isinstance(v, str) and v != _TENSOR]
    return texts[-1] if texts else "default"
