"""Which parts of crossgrade work with the packages that are here. Must not know any of them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

from crossgrade.values.environment import (
    DoctorVerdict,
    KnownRoom,
    Need,
    PackageState,
    RoomState,
    RoomStatus,
)


def room_states(
    rooms: Sequence[KnownRoom], packages: Sequence[PackageState]
) -> tuple[RoomState, ...]:
    """Return whether each room works, in order."""
    by_name = {p.name: p for p in packages}
    return tuple(_room_state(room, by_name) for room in rooms)


def with_ages(
    packages: Sequence[PackageState], rooms: Sequence[KnownRoom]
) -> tuple[PackageState, ...]:
    """Return the packages, those that are older than a room needs as `too-old`."""
    aged = []
    for package in packages:
        needs = [n for r in rooms for n in r.needs if n.package == package.name and n.least]
        old = [n for n in needs if package.status == "installed" and not _enough(package, n)]
        if old:
            hint = f"{old[0].least} or newer is needed ({old[0].source})"
            aged.append(dataclasses.replace(package, status="too-old", hint=hint))
        else:
            aged.append(package)
    return tuple(aged)


def with_releases(packages: Sequence[PackageState]) -> tuple[PackageState, ...]:
    """Return the packages, `{name}` in a hint filled with the release of that package.

    A release is major and minor, such as `2.13`; one that is not known stays a word to fill in.
    """
    releases = {p.name: ".".join(map(str, _padded(p.version))) for p in packages if p.version}
    return tuple(
        dataclasses.replace(p, hint=_NAMED.sub(lambda m: _release(releases, m[1]), p.hint))
        for p in packages
    )


def verdict_of(rooms: Sequence[KnownRoom], states: Sequence[RoomState]) -> DoctorVerdict:
    """Return `broken` where a core room does not work or a package of any room is broken.

    A room outside the core that lacks a package, or has an old one, is no fault: nobody asked
    for it.
    """
    core = {room.name for room in rooms if room.core}
    bad = (s.status == "broken" or (s.name in core and s.status != "works") for s in states)
    return "broken" if any(bad) else "works"


_NAMED = re.compile(r"\{(\w+)\}")


def _release(releases: Mapping[str, str], name: str) -> str:
    return releases.get(name) or f"RELEASE-OF-{name.upper()}"


def _padded(version: str) -> tuple[int, int]:
    """Return major and minor; `2` and `2.0.0` give 2, 0."""
    numbers = (*_numbers(version), 0, 0)
    return numbers[0], numbers[1]


def _room_state(room: KnownRoom, packages: Mapping[str, PackageState]) -> RoomState:
    status: RoomStatus = "works"
    whys = []
    for need in room.needs:
        package = packages[need.package]
        if package.status == "broken":
            status = "broken"
            whys.append(f"{need.package} is broken: {package.error}")
        elif package.status == "absent" or not _enough(package, need):
            status = "needs" if status == "works" else status
            here = f"{package.version or 'unknown version'} is here"
            found = "not installed" if package.status == "absent" else here
            whys.append(f"needs {need.package} {need.least} or newer; {found}")
    return RoomState(name=room.name, does=room.does, status=status, why="; ".join(whys))


def _enough(package: PackageState, need: Need) -> bool:
    """Return whether a version is at least the one needed; an unknown version is not."""
    return not need.least or _numbers(package.version) >= _numbers(need.least)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: `2.13.0+cpu` gives 2, 13, 0."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(n) for n in found.group().split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
