"""The energy counters of CPU packages that Linux shows under powercap (RAPL, Intel's and AMD's).

Packages are added up. Left out: cores, graphics and memory, which are parts of a package or may
be; `psys`, which counts the packages again; and the second way to the same counters,
`intel-rapl-mmio`.
Since Linux 5.10 (2020, CVE-2020-8694) only root may read them.

Source: https://docs.kernel.org/power/powercap/powercap.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crossgrade.targets.energy.files import number_in, text_in
from crossgrade.targets.energy.meter import CannotRead, EnergyDevice, EnergyMeter, Place, Reading

_FOLDER: Final = "sys/class/powercap"
_MICRO: Final = 1e-6
_POLL_S: Final = 0.05


@dataclass(slots=True)
class Counter:
    """One counter that starts again at 0 when it is full."""

    path: Path
    """File with the energy, µJ."""
    range_uj: float
    """Value at which it is full, µJ."""
    last_uj: float
    """Newest value, µJ."""
    total_uj: float = 0.0
    """Energy since it was opened, µJ."""

    def joules(self) -> float:
        """Return the energy since it was opened, J.

        Right as long as it is read more often than it fills: a package of 250 W takes minutes.

        Raises:
            CannotRead: it failed.
        """
        now = number_in(self.path)
        step = now - self.last_uj
        self.total_uj += step if step >= 0 else step + self.range_uj
        self.last_uj = now
        return self.total_uj * _MICRO


def open_rapl(device: EnergyDevice, place: Place) -> EnergyMeter:
    """Return the packages of this machine as one counter.

    Raises:
        CannotRead: there are none, or they may not be read.
    """
    found: dict[str, Counter] = {}
    for zone in sorted((place.root / _FOLDER).glob("intel-rapl:*")):
        name = _name(zone)
        if name.startswith("package") and name not in found:
            found[name] = _opened(zone)
    if not found:
        raise CannotRead(
            "no-sensor",
            f"no package under /{_FOLDER}: the CPU has no such counter, its driver is not loaded, "
            "or a virtual machine or container hides it",
        )
    counters = tuple(found.values())
    return Reading(
        sensor=f"RAPL {' + '.join(found)}",
        kind="counter",
        scope="package",
        poll_s=_POLL_S,
        ask=lambda: sum(counter.joules() for counter in counters),
    )


def _name(zone: Path) -> str:
    try:
        return text_in(zone / "name")
    except CannotRead:
        return ""


def _opened(zone: Path) -> Counter:
    path = zone / "energy_uj"
    return Counter(path, number_in(zone / "max_energy_range_uj"), number_in(path))
