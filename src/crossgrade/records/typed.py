"""JSON -> values, by the type hints of their dataclasses; the way back from `codec.to_json`.

Nothing is guessed: a field that is missing or unknown, a word outside a closed list or a value of
another type is refused with its place. Where a hint is `Any` the JSON comes as it is, so a tuple
in there comes back as a list. Must not know what the values mean.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from crossgrade.errors import BadRecord

T = TypeVar("T")
_WORDS: Final = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
"""How JSON says what it has no numbers for."""
_HINT: Final = "was it edited, or written by another version?"


def from_json(cls: type[T], data: Any, where: str = "") -> T:
    """Return a value of a dataclass from the JSON that `to_json` makes of it.

    Args:
        cls: the dataclass.
        data: JSON objects.
        where: place of `data` in its file, for the message; empty is its top.

    Raises:
        BadRecord: the JSON does not fit the hints; `where` names the field, such as
            `sessions[3].order[0]`.
    """
    return cast(T, _read(cls, data, where))


def _read(hint: Any, data: Any, where: str) -> Any:
    """Return a value of the type that `hint` says."""
    if hint is Any:
        return data
    if dataclasses.is_dataclass(hint):
        return _dataclass(cast(type, hint), data, where)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _union(get_args(hint), data, where)
    if origin is Literal:
        words = get_args(hint)
        if not any(type(data) is type(w) and data == w for w in words):
            raise _bad(f"{data!r:.80} is none of {', '.join(map(repr, words))}", where)
        return data
    reader = _CONTAINERS.get(origin)
    if reader is not None:
        return reader(get_args(hint), data, where)
    return _plain(hint, data, where)


def _plain(hint: Any, data: Any, where: str) -> Any:
    """Return a number, word or None; a whole number is a float too, a truth value no number."""
    if hint is float:
        if isinstance(data, str) and data in _WORDS:
            return _WORDS[data]
        if type(data) in (float, int):
            return _float(data, where)
    elif hint in (int, str, bool) and type(data) is hint:
        return data
    elif hint in (None, type(None)) and data is None:
        return None
    elif hint not in (int, str, bool, None, type(None)):
        raise TypeError(f"no reader for the hint {hint!r} at '{where}'")
    raise _bad(f"{data!r:.80} is no {getattr(hint, '__name__', hint)}", where)


def _float(data: float, where: str) -> float:
    try:
        return float(data)
    except OverflowError as error:
        raise _bad("a number that no float holds", where) from error


def _dataclass(cls: type, data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise _bad(f"{data!r:.80} is no object", where)
    hints = _hints(cls)
    for name in data:
        if name not in hints:
            raise _bad(f"unknown field {name!r:.80} of {cls.__name__}", _below(where, str(name)))
    for name in hints:
        if name not in data:
            raise _bad(f"{cls.__name__} lacks the field '{name}'", _below(where, name))
    return cls(**{n: _read(hint, data[n], _below(where, n)) for n, hint in hints.items()})


@cache
def _hints(cls: type) -> Mapping[str, Any]:
    """Return the hint of each field."""
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


def _union(members: tuple[Any, ...], data: Any, where: str) -> Any:
    """Return the first member that fits; the complaint of the only one that is not None."""
    if data is None and type(None) in members:
        return None
    rest = [m for m in members if m is not type(None)]
    if len(rest) == 1:
        return _read(rest[0], data, where)
    for member in rest:
        try:
            return _read(member, data, where)
        except BadRecord:
            continue
    raise _bad(f"{data!r:.80} fits none of {len(rest)} types", where)


def _tuple(members: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
    items = _items(data, where)
    if len(members) == 2 and members[1] is Ellipsis:
        # Samples come in ten thousands.
        if members[0] in (int, float) and all(type(x) is members[0] for x in items):
            return tuple(items)
        return tuple(_read(members[0], x, f"{where}[{i}]") for i, x in enumerate(items))
    if len(items) != len(members):
        raise _bad(f"{len(items)} entries instead of {len(members)}", where)
    return tuple(_read(m, x, f"{where}[{i}]")
                 for i, (m, x) in enumerate(zip(members, items, strict=True)))  # fmt: skip


def _list(members: tuple[Any, ...], data: Any, where: str) -> list[Any]:
    return list(_tuple((members[0], Ellipsis), data, where))


def _frozenset(members: tuple[Any, ...], data: Any, where: str) -> frozenset[Any]:
    return frozenset(_tuple((members[0], Ellipsis), data, where))


def _mapping(members: tuple[Any, ...], data: Any, where: str) -> dict[Any, Any]:
    if not isinstance(data, Mapping):
        raise _bad(f"{data!r:.80} is no object", where)
    key, value = members
    return {_key(key, k, where): _read(value, v, _below(where, str(k))) for k, v in data.items()}


def _key(hint: Any, key: Any, where: str) -> Any:
    """Return a key; JSON has words only, so whole numbers were written as such."""
    if hint is int:
        try:
            return int(key)
        except (ValueError, TypeError) as error:
            raise _bad(f"the key {key!r:.80} is no whole number", where) from error
    return _read(hint, key, where)


def _items(data: Any, where: str) -> list[Any]:
    if not isinstance(data, (list, tuple)):
        raise _bad(f"{data!r:.80} is no list", where)
    return list(data)


def _below(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _bad(message: str, where: str) -> BadRecord:
    return BadRecord(message, where=where or "at the top", hint=_HINT)


_CONTAINERS: Final[Mapping[Any, Callable[[tuple[Any, ...], Any, str], Any]]] = {
    tuple: _tuple, list: _list, frozenset: _frozenset, Mapping: _mapping, dict: _mapping,
}  # fmt: skip
