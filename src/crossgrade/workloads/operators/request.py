"""A case as its operator reads it: form, formats and arguments, checked and complete.

Needs no torch. Must not know how an operator is built.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from crossgrade.values.operator_case import CannotRun, OperatorCase
from crossgrade.workloads.operators.formats import check_format
from crossgrade.workloads.operators.info import REQUIRED, ArgumentInfo, OperatorInfo
from crossgrade.workloads.operators.listing import operator_info

_LONGEST_LIST = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An operator case, checked."""

    op: str
    """Name of the operator."""
    dtype: str
    """Format of the main input, torch's name."""
    form: str
    """Value of `arg_type`."""
    values: Mapping[str, Any]
    """Every argument of that form; defaults are filled in."""

    def size(self, name: str) -> int:
        """Return a whole number."""
        return int(self.values[name])

    def sizes(self, *names: str) -> list[int]:
        """Return several whole numbers, in the order asked for."""
        return [int(self.values[name]) for name in names]

    def text(self, name: str) -> str:
        """Return a word or the name of a format."""
        return cast("str", self.values[name])


def request_of(case: OperatorCase) -> Request:
    """Return a case of the catalogue, checked and complete.

    Raises:
        CannotRun: `unknown-operator`, `bad-arguments` or `unsupported-format`; the detail names the
            argument.
    """
    info = operator_info(case.op)
    dtype = check_format("dtype", case.dtype, info.dtypes)
    given = dict(case.arguments)
    form = _form(info, given)
    fields = [a for a in info.arguments if not a.forms or form in a.forms]
    values = {a.name: _value(info, a, _taken(info, a, given), dtype) for a in fields}
    if given:
        raise CannotRun("bad-arguments", _unknown(info, form, next(iter(given)), fields))
    return Request(op=info.name, dtype=dtype, form=form, values=values)


def bad(argument: str, why: str) -> CannotRun:
    """Return the exception of an argument that does not fit."""
    return CannotRun("bad-arguments", f"`{argument}`: {why}")


def _form(info: OperatorInfo, given: dict[str, Any]) -> str:
    """Return the form; without `arg_type` the first one that has all the given arguments."""
    if "arg_type" in given:
        form = given.pop("arg_type")
        if not isinstance(form, str) or form not in info.forms:
            raise bad("arg_type", f"{form!r} is none of {', '.join(info.forms)}")
        return form
    for form in info.forms:
        known = {
            name
            for a in info.arguments
            if not a.forms or form in a.forms
            for name in (a.name, *a.aliases)
        }
        if given and set(given) <= known:
            return form
    return info.forms[0]


def _taken(info: OperatorInfo, argument: ArgumentInfo, given: dict[str, Any]) -> Any:
    """Return the given value, or the default; takes it out of `given`."""
    found = [name for name in (argument.name, *argument.aliases) if name in given]
    if len(found) > 1:
        raise bad(argument.name, f"given twice, as {' and '.join(found)}")
    if found:
        return given.pop(found[0])
    if argument.default == REQUIRED:
        raise bad(argument.name, f"missing; {info.name} needs it: {argument.meaning}")
    return argument.default


def _value(info: OperatorInfo, argument: ArgumentInfo, value: Any, dtype: str) -> Any:
    """Return a value of the right kind and range."""
    kind = argument.kind
    if value is None and argument.default is None:
        return dtype if kind == "format" else None
    if kind == "format":
        return check_format(argument.name, value, argument.choices)
    if kind == "size":
        return _whole(argument, value)
    if kind == "choice":
        if value not in argument.choices:
            raise bad(argument.name, f"{value!r} is none of {', '.join(argument.choices)}")
        return value
    if kind == "flag":
        if not isinstance(value, bool):
            raise bad(argument.name, f"true or false, not {value!r}")
        return value
    if kind == "number":
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value - value != 0:
            raise bad(argument.name, f"a number, not {value!r}")
        return float(value)
    if kind == "sizes":
        return _list(argument, value)
    return [_list(argument, row) for row in _rows(argument, value)]


def _whole(argument: ArgumentInfo, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad(argument.name, f"a whole number, not {str(value)[:40]!r}")
    if value < argument.least:
        raise bad(argument.name, f"{value} is less than {argument.least}")
    if value > argument.most:
        raise bad(argument.name, f"{str(value)[:40]} is more than {argument.most}")
    return value


def _rows(argument: ArgumentInfo, value: Any) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)) or not value:
        raise bad(argument.name, f"a list, not {str(value)[:40]!r}")
    if len(value) > _LONGEST_LIST:
        raise bad(argument.name, f"{len(value)} entries; {_LONGEST_LIST} are taken")
    return value


def _list(argument: ArgumentInfo, value: Any) -> list[int]:
    return [_whole(argument, entry) for entry in _rows(argument, value)]


def _unknown(info: OperatorInfo, form: str, name: str, fields: list[ArgumentInfo]) -> str:
    names = [a.name for a in fields]
    close = difflib.get_close_matches(name, names, n=1)
    meant = f"; did you mean `{close[0]}`?" if close else ""
    of = f"{info.name} ({form})" if len(info.forms) > 1 else info.name
    return f"`{name}`: {of} has no such argument{meant}; it takes {', '.join(names)}"
