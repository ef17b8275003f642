"""Durations as they are typed: `50ms`, `2s`, `800us`."""

from __future__ import annotations

import math
import re

import click

from crossgrade.errors import BadOption

_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "": 1.0}
_FORM = re.compile(r"([0-9.eE+-]+)(s|ms|us|)")


def duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return seconds; a bare number is seconds.

    Raises:
        BadOption: no number above 0, or an unknown unit.
    """
    if value is None:
        return None
    found = _FORM.fullmatch(value.strip())
    try:
        seconds = float(found[1]) * _UNITS[found[2]] if found else math.nan
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise BadOption(f"{param.opts[0]} {value}", hint="a time above 0, such as 50ms or 2s")
    return seconds
