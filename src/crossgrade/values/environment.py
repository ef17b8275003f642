"""What is installed here and what works: the answer of `doctor`.

Must not know how it was found out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from crossgrade.values.observation import EnergyReason, EnergySensor

PackageStatus = Literal["installed", "too-old", "broken", "absent"]
"""installed: it imports. too-old: it imports, and is older than a room needs.
broken: it is installed, and importing it fails. absent: Python does not find it."""
RoomStatus = Literal["works", "needs", "broken"]
"""needs: a package is absent or too old. broken: a package that it needs cannot be imported."""
DoctorVerdict = Literal["works", "broken"]
"""works: all that is installed and needed can be imported, and the core is complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPackage:
    """A package that doctor looks for."""

    name: str
    """Name to import, such as `torch_npu`."""
    distribution: str
    """Name to install and to ask the version of, such as `torch-npu`."""
    purpose: str
    """What it is for, here."""
    install: str
    """The line that installs it, or where it comes from."""
    hint: str = ""
    """What to look at first if it is installed and cannot be imported."""
    retry: Mapping[str, str] | None = None
    """Environment of a second try after a failure: tells whose fault it is."""
    retry_hint: str = ""
    """What it means if the second try succeeds."""
    facts: Mapping[str, str] | None = None
    """Fact -> dotted path below the module, `()` calls; read after the import."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A package that a room cannot do without."""

    package: str
    """Name to import."""
    least: str
    """Least version, empty for any."""
    source: str
    """What states the bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRoom:
    """A part of crossgrade."""

    name: str
    """Name of the package below `crossgrade`."""
    does: str
    """What it is for, with the commands that need it."""
    core: bool
    """Whether a plain install must have it working."""
    needs: tuple[Need, ...]
    """What it cannot do without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageState:
    """What became of one package."""

    name: str
    """Name to import."""
    status: PackageStatus
    """How it is."""
    version: str
    """Version of the distribution, else of the module; empty unknown."""
    purpose: str
    """What it is for, here."""
    facts: Mapping[str, str]
    """What the package says of itself, such as its build and the devices it sees."""
    error: str
    """Exception class and message, or how the process ended; empty where it imports."""
    hint: str
    """What to do; empty where nothing is to be done."""
    import_s: float | None
    """Time of the import in a process of its own, s (measured); None where there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomState:
    """Whether a part of crossgrade works here."""

    name: str
    """Name of the room."""
    does: str
    """What it is for."""
    status: RoomStatus
    """Whether it works."""
    why: str
    """What is missing or broken; empty where it works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderState:
    """A folder that crossgrade writes to."""

    purpose: str
    """What is written there."""
    path: str
    """Where it is, or will be."""
    exists: bool
    """Whether it is there already."""
    writable: bool
    """Whether it, or the folder in which it will be made, may be written."""
    free_bytes: int | None
    """Free space there, bytes (measured); None unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    """This machine, as far as this process may use it."""

    system: str
    """Operating system and its release."""
    machine: str
    """Machine type, such as `aarch64`."""
    cpu: str
    """Name of the processor; empty unknown."""
    threads: int
    """Hardware threads that this process may use."""
    memory_bytes: float | None
    """Memory that this process may use, bytes; None unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorState:
    """Whether the energy of a kind of device can be measured here."""

    device: str
    """Kind of device in torch's words, such as `cpu`; the first one that is here."""
    sensor: str
    """What would be read; empty where there is no sensor."""
    kind: EnergySensor | None
    """What it gives; None where there is no sensor."""
    scope: str
    """What it counts; empty where there is no sensor."""
    reason: EnergyReason | None
    """Why there is no sensor; None where there is one."""
    detail: str
    """What was tried and what to do; empty where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The whole answer of `doctor`."""

    verdict: DoctorVerdict
    """`broken` where the core does not work, or a package that a room needs is broken."""
    crossgrade: str
    """Version of crossgrade."""
    location: str
    """Folder that it was imported from."""
    python: str
    """Version and executable of Python."""
    machine: MachineState
    """This machine."""
    packages: tuple[PackageState, ...]
    """Known packages, in the order of the table."""
    rooms: tuple[RoomState, ...]
    """Parts of crossgrade, in the order of the table."""
    chips: int | None
    """Described chips; None where they cannot be read."""
    operator_tables: tuple[str, ...]
    """Backends with an operator table, with its newest version."""
    folders: tuple[FolderState, ...]
    """Folders that crossgrade writes to."""
    energy: tuple[SensorState, ...]
    """Sensors of energy, by kind of device; one that is not here is no fault."""

    @property
    def exit_code(self) -> int:
        """0 works; 2 something is broken."""
        return 2 if self.verdict == "broken" else 0
