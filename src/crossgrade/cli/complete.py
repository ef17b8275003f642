"""What the shell offers after a tab: names of chips, models and codes.

Runs on every press of the key, so nothing heavy is imported: names of files and short texts, no
torch, no numpy. An exception would be shown in the middle of the user's line, so none is let out.
"""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem


def complete_chips(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the chips that begin so, `cpu` among them."""
    return chip_items(incomplete)


def chip_items(incomplete: str) -> list[CompletionItem]:
    """Return the chips that begin so, `cpu` among them."""
    from crossgrade import api

    return _beginning(incomplete, ((name, "") for name in api.chips()))


def complete_presets(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the presets that begin so."""
    from crossgrade import api

    return _beginning(incomplete, ((row.name, row.family) for row in api.models()))


def complete_models(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the presets that begin so; where there is none, leave it to the shell's files."""
    found = complete_presets(ctx, param, incomplete)
    return found or [CompletionItem(incomplete, type="file")]


def complete_codes(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the ids, codes and words that begin so."""
    from crossgrade import api

    return _beginning(incomplete, ((p.code, p.title.replace("`", "")) for p in api.explain()))


def _beginning(incomplete: str, named: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    """Return the names that begin with what was typed, in any case; each once."""
    wanted = incomplete.lower()
    found = dict(reversed([(n, h) for n, h in named if n.lower().startswith(wanted)]))
    return [CompletionItem(name, help=text or None) for name, text in sorted(found.items())]
