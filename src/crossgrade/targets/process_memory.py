"""The memory of this process, as the system counts it.

Resident memory: pages that are in RAM, private ones and those of files that it has touched, such as
the code of a library from the first time that it runs. Memory that was freed counts as long as the
allocator keeps it: glibc gives blocks of more than 32 MiB back at once, and smaller ones when it
likes. Swapped pages do not count. Must not know what is measured, nor torch.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crossgrade.targets.protocol import PeakCounter

_KIB: Final = 1024
_RESET_PEAK: Final = "5"
"""Written to `clear_refs`: set the peak back to what is resident now (proc_pid_clear_refs(5))."""

_WHOLE_LIFE: Final = ", which cannot be set back"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinuxMemory:
    """VmRSS and VmHWM of Linux; a `PeakCounter`."""

    folder: Path
    """Folder of the process under `/proc`."""
    can_reset: bool
    """Whether the peak can be set back; else it is that since the program began."""

    @property
    def name(self) -> str:
        """Return what counts."""
        return "VmHWM of the process" + ("" if self.can_reset else _WHOLE_LIFE)

    def reset(self) -> None:
        """Set the peak back to what is resident now, where that can be done."""
        if self.can_reset:
            (self.folder / "clear_refs").write_text(_RESET_PEAK, encoding="ascii")

    def held_bytes(self) -> float:
        """Return what is resident now, bytes."""
        return self._field("VmRSS")

    def peak_bytes(self) -> float:
        """Return the most that was resident since it was set back, bytes."""
        return self._field("VmHWM")

    def _field(self, name: str) -> float:
        for line in (
            (self.folder / "status").read_text(encoding="ascii", errors="replace").split("\n")
        ):
            if line.startswith(f"{name}:"):
                return float(line.split()[1]) * _KIB
        raise OSError(f"{self.folder}/status has no {name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeLife:
    """The most resident memory since the process began; a `PeakCounter` that cannot be set back.

    What stays below an earlier peak is missed.
    """

    name: str = f"ru_maxrss of the process{_WHOLE_LIFE}"
    """What counts."""
    can_reset: bool = False
    """Whether the peak can be set back."""

    def reset(self) -> None:
        """Do nothing."""

    def held_bytes(self) -> float:
        """Return the most so far, bytes: what is resident now is not told everywhere."""
        return self.peak_bytes()

    def peak_bytes(self) -> float:
        """Return the most resident memory since the process began, bytes."""
        # Documented units: bytes on macOS, KiB on Linux and the BSDs (getrusage(2)).
        if sys.platform == "win32":
            raise OSError("Windows has no getrusage")
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak) * (1 if sys.platform == "darwin" else _KIB)


def process_memory(folder: Path = Path("/proc/self")) -> PeakCounter | None:
    """Return the best counter of this process's memory; None where the system has none.

    Args:
        folder: what Linux tells of this process, another folder in tests.
    """
    for can_reset in (True, False):
        linux = LinuxMemory(folder=folder, can_reset=can_reset)
        # The first fails where /proc may not be written, as in some containers.
        with contextlib.suppress(OSError):
            linux.reset()
            linux.held_bytes()
            linux.peak_bytes()
            return linux
    return None if sys.platform == "win32" else WholeLife()
