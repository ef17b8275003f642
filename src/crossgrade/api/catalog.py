"""Models and chips by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossgrade.values.chip import Chip
    from crossgrade.values.preset import PresetSummary


def models(pattern: str | None = None) -> tuple[PresetSummary, ...]:
    """Return the shipped model configurations, one row each; no model is built.

    Args:
        pattern: part of a name, family, architecture or kind, or a text with `*` and `?`.

    Raises:
        UnknownModel: nothing matches the pattern.
    """
    from crossgrade.workloads.index import matching_presets, preset_table

    return preset_table() if pattern is None else matching_presets(pattern)


def render_models(
    rows: tuple[PresetSummary, ...],
    *,
    as_json: bool = False,
    terminal: bool = False,
    width: int = 120,
    colour: bool = False,
) -> str:
    """Return presets as text: JSON, a table on a screen, TSV in a pipe."""
    from crossgrade.report.listing import full_table, short_table

    if as_json:
        import dataclasses

        from crossgrade.report.envelope import envelope

        return envelope("models", [dataclasses.asdict(row) for row in rows], schema=2)
    if not terminal:
        from crossgrade.report.tsv import render_tsv

        return render_tsv(full_table(rows))
    from crossgrade.report.document import Document
    from crossgrade.report.terminal import render_terminal

    document = Document(blocks=(short_table(rows, width=width),))
    return render_terminal(document, width=width, colour=colour)


def chips() -> tuple[str, ...]:
    """Return the names of the described chips; `cpu` means this machine's."""
    from crossgrade.chips.loader import chip_names

    return ("cpu", *chip_names())


def chip(name: str) -> Chip:
    """Return a chip's description; `cpu` is probed here and now.

    Raises:
        UnknownChip: no chip has that name or alias.
    """
    if name.lower() == "cpu":
        import datetime

        from crossgrade.chips.probe import probe_cpu

        return probe_cpu(date=datetime.datetime.now(datetime.UTC).date().isoformat())
    from crossgrade.chips.loader import load_chip

    return load_chip(name.removeprefix("virtual:"))
