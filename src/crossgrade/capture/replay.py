"""Repeat what fake tensors said about an identical call, without asking them again.

A model repeats its layers: most calls have the operator, arguments and tensor metadata of an
earlier one. Where such a call gives fresh tensors, or the very tensors it writes, its result is
known. Views are always asked again: they must share their input's storage. Must not know what is
recorded.
"""

from __future__ import annotations

from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode


class Replay:
    """How to make the result of a known call."""

    __slots__ = ("_mode", "_outputs", "_single")

    def __init__(self, mode: FakeTensorMode, outputs: list[Any], single: bool) -> None:
        """Keep the descriptions: an index of a written input, or shape, strides, dtype, device."""
        self._mode, self._outputs, self._single = mode, outputs, single

    @classmethod
    def of(cls, result: Any, tensors: list[torch.Tensor], written: list[int]) -> Replay | None:
        """Return how to repeat a result, or None where it must be asked again."""
        single = isinstance(result, torch.Tensor)
        items = [result] if single else result
        if not isinstance(items, (list, tuple)) or not items:
            return None
        same = {id(tensors[i]): i for i in written}
        storages = {t.untyped_storage()._cdata for t in tensors}
        outputs: list[Any] = []
        for item in items:
            if id(item) in same:
                outputs.append(same[id(item)])
                continue
            plain = isinstance(item, FakeTensor) and item.layout is torch.strided
            if not plain or item.constant is not None or item.storage_offset():
                return None
            address = item.untyped_storage()._cdata
            if address in storages:
                return None
            storages.add(address)
            outputs.append((tuple(item.shape), item.stride(), item.dtype, item.fake_device))
        mode = next((i.fake_mode for i in items if isinstance(i, FakeTensor)), None)
        return None if mode is None or (written and not _known(outputs)) else cls(
            mode, outputs, single
        )  # fmt: skip

    def result(self, tensors: list[torch.Tensor]) -> Any:
        """Return the result for these tensor arguments."""
        made = [tensors[o] if isinstance(o, int) else self._fresh(*o) for o in self._outputs]
        return made[0] if self._single else tuple(made)

    def _fresh(
        self, shape: tuple[int, ...], stride: tuple[int, ...], dtype: torch.dtype, device: Any
    ) -> FakeTensor:
        with torch._C._DisableTorchDispatch():
            meta = torch.empty_strided(shape, stride, dtype=dtype, device="meta")
        return FakeTensor(self._mode, meta, device)


def _known(outputs: list[Any]) -> bool:
    """Return whether a call that writes gives back only what it wrote."""
    return all(isinstance(o, int) for o in outputs)
