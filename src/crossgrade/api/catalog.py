"""Models and chips by name, and what is known of a chip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossgrade.chips.userfiles import UserChip
    from crossgrade.values.catalog import ChipList, ChipPage
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
        UndescribedChip: the chip is known, and no reliable number about it is public.
    """
    if name.lower() == "cpu":
        import datetime

        from crossgrade.chips.probe import probe_cpu

        return probe_cpu(date=datetime.datetime.now(datetime.UTC).date().isoformat())
    from crossgrade.chips.loader import load_chip

    return load_chip(name.removeprefix("virtual:"))


def chosen_chips(
    names: Sequence[str],
    chip_files: Sequence[str | Path] = (),
    lookup: Callable[[str], Chip] = chip,
) -> tuple[tuple[str, Chip], ...]:
    """Return the chips that `names` mean, then those of the files that no name means.

    Args:
        names: names and aliases as typed; a name in a file comes before a shipped one.
        chip_files: chip descriptions of the user.
        lookup: gives the chip that a name means where no file has it.

    Raises:
        UnknownChip: no chip has that name or alias.
        BadChipFile: a file breaks the schema, or its numbers cannot belong together.
    """
    from crossgrade.chips.userfiles import find_user_chip, read_user_chips

    own = read_user_chips(chip_files)
    found = [(name, find_user_chip(name.removeprefix("virtual:"), own)) for name in names]
    named = [(name, lookup(name) if user is None else user.chip) for name, user in found]
    met = {id(user) for _, user in found}
    return (*named, *((user.chip.name, user.chip) for user in own if id(user) not in met))


def chip_list(chip_files: Sequence[str | Path] = ()) -> ChipList:
    """Return every described chip, those of the files first, and those known by name only.

    Raises:
        BadChipFile: a file breaks the schema, or its numbers cannot belong together.
    """
    from crossgrade.chips.loader import chip_names, load_chip
    from crossgrade.chips.undescribed import undescribed_chips
    from crossgrade.chips.userfiles import read_user_chips
    from crossgrade.values.catalog import ChipList

    own = tuple(user.chip for user in read_user_chips(chip_files))
    return ChipList(
        chips=(*own, *(load_chip(name) for name in chip_names())),
        undescribed=undescribed_chips(),
    )


def chip_page(name: str, chip_files: Sequence[str | Path] = ()) -> ChipPage:
    """Return everything that is known of one chip; `cpu` is probed here and now.

    Raises:
        UnknownChip: no chip has that name or alias.
        BadChipFile: a file breaks the schema, or its numbers cannot belong together.
    """
    from crossgrade.chips.loader import DATA, resolve_name
    from crossgrade.chips.page import chip_page as page_of
    from crossgrade.chips.userfiles import find_user_chip, read_user_chips

    user = find_user_chip(name, read_user_chips(chip_files))
    if user is not None:
        return _own_page(user, name)
    if name.lower() == "cpu":
        return page_of(chip(name), passed=name, via_alias=None, file=None)
    resolved = resolve_name(name.removeprefix("virtual:"))
    path = str(DATA / f"{resolved.name}.toml")
    return page_of(chip(resolved.name), passed=name, via_alias=resolved.via_alias, file=path)


def chip_pages(chip_files: Sequence[str | Path]) -> tuple[ChipPage, ...]:
    """Return what the user's own files say, checked.

    Raises:
        BadChipFile: a file breaks the schema, or its numbers cannot belong together.
    """
    from crossgrade.chips.userfiles import read_user_chips

    return tuple(_own_page(user, user.chip.name) for user in read_user_chips(chip_files))


def _own_page(user: UserChip, passed: str) -> ChipPage:
    """Return the page of a chip from a user's file."""
    from crossgrade.chips.loader import name_key
    from crossgrade.chips.page import chip_page as page_of

    key = name_key(passed)
    alias = None if key == user.chip.name else key
    return page_of(user.chip, passed=passed, via_alias=alias, file=str(user.path))
