"""`--size NAME=VALUE`: sizes that only some models have."""

from __future__ import annotations

import click

from crossgrade.errors import BadOption


def sizes(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, int]:
    """Return size -> value.

    Raises:
        BadOption: one is given twice, or is no whole number.
    """
    found: dict[str, int] = {}
    for text in value:
        name, _, amount = text.partition("=")
        if name in found:
            raise BadOption(f"--size {text}: {name} is given twice")
        try:
            found[name] = int(amount)
        except ValueError:
            raise BadOption(
                f"--size {text}", hint="NAME=VALUE with a whole number, such as image=384"
            ) from None
    return found
