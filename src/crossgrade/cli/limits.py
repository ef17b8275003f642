"""`--good NAME=SECONDS`: latencies within which a request counts as good."""

from __future__ import annotations

import click

from crossgrade.errors import BadOption
from crossgrade.values.serving import Limits

_NAMES = ("ttft", "tpot", "e2e")


def limits(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> Limits:
    """Return the limits that are given.

    Raises:
        BadOption: one is given twice, is unknown, or is no number.
    """
    found: dict[str, float] = {}
    for text in value:
        name, _, amount = text.partition("=")
        if name not in _NAMES:
            raise BadOption(f"--good {text}", hint="one of " + ", ".join(_NAMES) + "=SECONDS")
        if f"{name}_s" in found:
            raise BadOption(f"--good {text}: {name} is given twice")
        try:
            found[f"{name}_s"] = float(amount)
        except ValueError:
            raise BadOption(f"--good {text}", hint=f"{name}=SECONDS, such as {name}=0.5") from None
    return Limits(**found)
