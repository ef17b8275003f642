"""Nested arguments with tensors in them -> a flat list of tensors, and back.

A cache is an object of some class with tensors in its attributes; a graph takes and gives tensors
only. The way back makes new objects each time, so that an execution which grows its cache leaves
the given one alone. It runs inside compiled and exported code, so it uses nothing that these do not
follow. Must not know which classes there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


def tensors_of(value: Any) -> list[torch.Tensor]:
    """Return the tensors in a value, in the order in which `rebuilt` takes them."""
    found: list[torch.Tensor] = []
    _collect(value, found)
    return found


def _collect(value: Any, found: list[torch.Tensor]) -> None:
    if isinstance(value, torch.Tensor):
        found.append(value)
    elif isinstance(value, dict):
        for item in value.values():
            _collect(item, found)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _collect(item, found)
    elif _is_holder(value):
        _collect(vars(value), found)


def rebuilt(value: Any, tensors: Iterator[torch.Tensor]) -> Any:
    """Return the value again with other tensors in it; containers are new, the rest is shared."""
    if isinstance(value, torch.Tensor):
        return next(tensors)
    if isinstance(value, dict):
        return {key: rebuilt(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [rebuilt(item, tensors) for item in value]
    if isinstance(value, tuple):
        return tuple([rebuilt(item, tensors) for item in value])
    if _is_holder(value):
        new = object.__new__(type(value))
        for name, item in vars(value).items():
            setattr(new, name, rebuilt(item, tensors))
        return new
    return value


def _is_holder(value: Any) -> bool:
    """Return whether a value is an object whose attributes may hold tensors."""
    plain = isinstance(value, (torch.nn.Module, type, torch.dtype, torch.device)) or callable(value)
    return not plain and hasattr(value, "__dict__")
