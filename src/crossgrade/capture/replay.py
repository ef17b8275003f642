"""Repeat what fake tensors said about an identical call, without asking them again.

A model repeats its layers: most calls have the operator, arguments and tensor metadata of an
earlier one. What such a call gives is known: fresh tensors, views at a known distance into an
input's storage, or the very tensors it writes. Must not know what is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode


@dataclass(frozen=True, slots=True)
class _Made:
    """One output that is made anew."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    view_of: int | None
    """Input whose storage it shares, None for a storage of its own."""
    offset: int
    """Distance from that input's first element, elements of the output's dtype."""


class Replay:
    """How to make the result of a known call."""

    __slots__ = ("_mode", "_outputs", "_single")

    def __init__(self, mode: FakeTensorMode, outputs: list[_Made | int], single: bool) -> None:
        """Keep the outputs; a number is the index of the written input that is given back."""
        self._mode, self._outputs, self._single = mode, outputs, single

    @classmethod
    def of(cls, result: Any, tensors: list[torch.Tensor], written: list[int]) -> Replay | None:
        """Return how to repeat a result, or None where it must be asked again."""
        single = isinstance(result, torch.Tensor)
        items = [result] if single else result
        if not isinstance(items, (list, tuple)) or not items:
            return None
        mode = next((i.fake_mode for i in items if isinstance(i, FakeTensor)), None)
        outputs = _outputs(items, tensors, written)
        if mode is None or outputs is None:
            return None
        return cls(mode, outputs, single)

    def result(self, tensors: list[torch.Tensor]) -> Any:
        """Return the result for these tensor arguments."""
        made = [tensors[o] if isinstance(o, int) else self._make(o, tensors) for o in self._outputs]
        return made[0] if self._single else tuple(made)

    def _make(self, out: _Made, tensors: list[torch.Tensor]) -> FakeTensor:
        with torch._C._DisableTorchDispatch():
            meta = torch.empty_strided(out.shape, out.stride, dtype=out.dtype, device="meta")
            if out.view_of is not None:
                base = tensors[out.view_of]
                offset = int(base.storage_offset()) + out.offset
                meta.set_(base.untyped_storage(), offset, out.shape, out.stride)
        return _fake(self._mode, meta, out.device)


Replays = dict[Any, Replay | None]
"""Calls that were met under one fake mode -> how to repeat them; None: to be asked again."""


def key_of(func: Any, template: Any, tensors: list[torch.Tensor]) -> Any:
    """Return what a call's answer depends on; None where a tensor has no strides."""
    if any(t.layout is not torch.strided for t in tensors):
        return None
    metas = tuple([(t.shape, t.stride(), t.dtype, t.device) for t in tensors])
    return func, template, metas


def answered(
    known: Replays,
    key: Any,
    func: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    tensors: list[torch.Tensor],
    written: list[int],
) -> Any:
    """Return the result of a call: repeated where it is known, else asked and remembered."""
    replay = known.get(key) if key is not None else None
    if replay is not None:
        return replay.result(tensors)
    result = func(*args, **kwargs)
    if key is not None:
        known[key] = Replay.of(result, tensors, written)
    return result


def _fake(mode: FakeTensorMode, meta: torch.Tensor, device: torch.device) -> FakeTensor:
    """Return a fake tensor like the constructor's, in a third of its time.

    The first one of a device is made by the constructor (torch 2.13, FakeTensor.__new__), the
    others are given its attributes, none of which depends on the tensor.
    """
    first: dict[torch.device, dict[str, Any]] = vars(mode).setdefault("_crossgrade_first", {})
    attributes = first.get(device)
    if attributes is None:
        made = FakeTensor(mode, meta, device)
        first[device] = dict(vars(made))
        return made
    fake: FakeTensor = torch.Tensor._make_subclass(
        FakeTensor, meta, False, dispatch_device=True, device_for_backend_keys=device
    )
    torch._C._set_warn_deprecated_on_mutable_data_ptr(fake)
    vars(fake).update(attributes)
    return fake


def _outputs(
    items: Any, tensors: list[torch.Tensor], written: list[int]
) -> list[_Made | int] | None:
    """Return the description of every output, None where one cannot be described."""
    same = {id(tensors[i]): i for i in written}
    bases = {t.untyped_storage()._cdata: i for i, t in enumerate(tensors)}
    fresh: set[int] = set()
    outputs: list[_Made | int] = []
    for item in items:
        if id(item) in same:
            outputs.append(same[id(item)])
            continue
        if written or not isinstance(item, FakeTensor) or item.constant is not None:
            return None
        if item.layout is not torch.strided:
            return None
        address = item.untyped_storage()._cdata
        base = bases.get(address)
        offset = int(item.storage_offset())
        if base is not None:
            if tensors[base].dtype != item.dtype:
                return None  # offsets count in another unit
            offset -= int(tensors[base].storage_offset())
        elif offset or address in fresh:
            return None
        fresh.add(address)
        outputs.append(
            _Made(tuple(item.shape), item.stride(), item.dtype, item.fake_device, base, offset)
        )
    return outputs
