"""Chip files that a user brings: read, compared with the described chips, found by name.

A user's chip may not take the name of a shipped one: a result must not change its meaning with
the command line it came from. Must not know any chip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crossgrade.chips.loader import chip_from_toml, chip_names, load_chip, name_key
from crossgrade.chips.loader import resolve_name as resolve_shipped
from crossgrade.chips.optables import NO_BACKEND, backends
from crossgrade.chips.plausible import check_plausible
from crossgrade.errors import BadChipFile, UndescribedChip, UnknownChip
from crossgrade.values.chip import Chip

PROBED = "cpu"
"""Name of the chip that is measured, not described."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserChip:
    """A chip from a user's file."""

    path: Path
    """The file, as given."""
    chip: Chip
    """What it says."""

    def answers_to(self, name: str) -> bool:
        """Return whether `name` is the chip's name or one of its aliases."""
        return name_key(name) in (self.chip.name, *self.chip.aliases)


def read_user_chips(paths: Sequence[Path | str]) -> tuple[UserChip, ...]:
    """Return the chips of the files, in order.

    Raises:
        BadChipFile: a file breaks the schema, its numbers cannot belong together, or its name or
            alias is taken by a shipped chip or by another file.
    """
    shipped = [load_chip(name) for name in chip_names()] if paths else []
    found: list[UserChip] = []
    for path in map(Path, paths):
        chip = chip_from_toml(path)
        _check_names(chip, path, found)
        _check_table(chip, path)
        check_plausible(chip, path.name, shipped)
        found.append(UserChip(path=path, chip=chip))
    return tuple(found)


def find_user_chip(name: str, chips: Sequence[UserChip]) -> UserChip | None:
    """Return the user's chip with that name or alias, None if there is none."""
    return next((one for one in chips if one.answers_to(name)), None)


def _check_names(chip: Chip, path: Path, others: Sequence[UserChip]) -> None:
    """Refuse a name or alias that means another chip."""
    for name in (chip.name, *chip.aliases):
        owner = _owner(name, others)
        if owner is not None:
            raise BadChipFile(
                f"`{name}` means {owner}",
                where=f"{path.name}: {'name' if name == chip.name else 'aliases'}",
                hint=f"choose another, such as my-{name}",
            )


def _check_table(chip: Chip, path: Path) -> None:
    """Refuse an operator table that does not exist."""
    known = (*backends(), NO_BACKEND)
    if chip.op_table not in known:
        raise BadChipFile(
            f"there is no operator table `{chip.op_table}`",
            where=f"{path.name}: op_table",
            hint=f"one of: {', '.join(known)}; `{NO_BACKEND}` leaves operators unknown",
        )


def _owner(name: str, others: Sequence[UserChip]) -> str | None:
    """Return who has that name already, in words."""
    taken = find_user_chip(name, others)
    if taken is not None:
        return f"the chip of {taken.path.name} already"
    if name == PROBED:
        return "the CPU of this machine"
    try:
        return f"the shipped chip {resolve_shipped(name).name}"
    except (UndescribedChip, UnknownChip):
        return None
