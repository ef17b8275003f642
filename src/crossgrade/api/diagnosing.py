"""`doctor`: what is installed here, what is broken, and what works.

Wires packages, rooms, chips and folders together. Imports a part of crossgrade only after the
packages that it needs were seen to import, so a crash of one is a line of the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossgrade.values.environment import (
        Diagnosis,
        FolderState,
        MachineState,
        PackageState,
        SensorState,
    )


def doctor(
    *, timeout_s: float = 60.0, narrate: Callable[[str], None] = lambda _: None
) -> Diagnosis:
    """Return what is installed, broken and absent here, and which parts of crossgrade work.

    Args:
        timeout_s: limit of one import, s; each runs in a process of its own.
        narrate: gets one line before the imports.

    Raises:
        BadOption: the limit is not above 0.
    """
    import sys

    import crossgrade
    from crossgrade.environment.known import known
    from crossgrade.environment.packages import look_at
    from crossgrade.environment.rooms import room_states, verdict_of, with_ages, with_releases
    from crossgrade.errors import BadOption
    from crossgrade.values.environment import Diagnosis

    if not 0 < timeout_s < float("inf"):
        raise BadOption(f"--timeout {timeout_s:g}", hint="seconds above 0")
    table = known()
    narrate(f"importing {len(table.packages)} packages, each in a process of its own")
    packages = with_ages(with_releases(look_at(table.packages, timeout_s=timeout_s)), table.rooms)
    rooms = room_states(table.rooms, packages)
    return Diagnosis(
        verdict=verdict_of(table.rooms, rooms),
        crossgrade=crossgrade.__version__,
        location=str(Path(crossgrade.__file__).parent),
        python=f"{sys.version.split()[0]} ({sys.executable})",
        machine=_machine(packages),
        packages=packages,
        rooms=rooms,
        chips=_chips(),
        operator_tables=_operator_tables(),
        folders=_folders(),
        energy=_energy(packages),
    )


def render_doctor(
    diagnosis: Diagnosis,
    *,
    as_json: bool = False,
    terminal: bool = False,
    width: int = 120,
    colour: bool = False,
) -> str:
    """Return a diagnosis as text: JSON, tables on a screen, Markdown in a pipe.

    Where rich is not to be had, the screen gets Markdown too.
    """
    if as_json:
        import dataclasses

        from crossgrade.report.envelope import envelope

        return envelope("doctor", dataclasses.asdict(diagnosis), verdict=diagnosis.verdict)
    from crossgrade.report.diagnosis import diagnosis_document
    from crossgrade.report.shown import shown

    rich = any(p.name == "rich" and p.status == "installed" for p in diagnosis.packages)
    document = diagnosis_document(diagnosis)
    return shown(document, terminal=terminal and rich, width=width, colour=colour)


def _machine(packages: Sequence[PackageState]) -> MachineState:
    """Return this machine; the probe that reads limits of containers needs numpy."""
    import os
    import platform

    from crossgrade.values.environment import MachineState

    system, machine = f"{platform.system()} {platform.release()}", platform.machine()
    if any(p.name == "numpy" and p.status in ("installed", "too-old") for p in packages):
        from crossgrade.chips.probe import read_host

        host = read_host()
        return MachineState(system=system, machine=machine, cpu=host.model, threads=host.threads,
                            memory_bytes=host.memory_bytes)  # fmt: skip
    return MachineState(system=system, machine=machine, cpu=platform.processor(),
                        threads=os.cpu_count() or 1, memory_bytes=None)  # fmt: skip


def _chips() -> int | None:
    """Return how many chips are described; None where the folder cannot be read."""
    from crossgrade.chips.loader import chip_names

    try:
        return len(chip_names())
    except OSError:
        return None


def _operator_tables() -> tuple[str, ...]:
    """Return the backends that have an operator table, with the newest version."""
    from crossgrade.chips.ops.manifest import read_manifest
    from crossgrade.errors import BadOperatorTable

    try:
        found = read_manifest().backends.values()
    except (OSError, BadOperatorTable):
        return ()
    return tuple(f"{b.name} {b.versions[-1]}" for b in found if b.versions)


def _energy(packages: Sequence[PackageState]) -> tuple[SensorState, ...]:
    """Return which sensor of energy each kind of device has; no broken package is imported."""
    from crossgrade.targets.energy.finding import device_meter, here
    from crossgrade.targets.energy.meter import EnergyDevice, NoMeter
    from crossgrade.targets.energy.table import KINDS
    from crossgrade.values.environment import SensorState

    place, states = here(), []
    broken = {p.name for p in packages if p.status == "broken"}
    for kind in KINDS:
        found = device_meter(EnergyDevice(kind=kind), place, broken)
        if isinstance(found, NoMeter):
            state = SensorState(device=kind, sensor="", kind=None, scope="",
                                reason=found.reason, detail=found.detail)  # fmt: skip
        else:
            state = SensorState(device=kind, sensor=found.sensor, kind=found.kind,
                                scope=found.scope, reason=None, detail="")  # fmt: skip
            found.close()
        states.append(state)
    return tuple(states)


def _folders() -> tuple[FolderState, ...]:
    """Return the folders that crossgrade writes to."""
    from crossgrade.environment.folders import folder_state
    from crossgrade.records.store import default_folder

    return (folder_state(default_folder(), "records (--out, $CROSSGRADE_HOME)"),)
