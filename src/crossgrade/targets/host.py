"""The host beside a target: free memory, last-level cache, and what the system says of itself now.

Everything is read from the system's files; nothing is measured. Must not know torch.
"""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path

from crossgrade.chips.probe import Host, free_memory_bytes, read_host
from crossgrade.targets.protocol import Witness
from crossgrade.values.operator_case import CannotRun

UNKNOWN_CACHE_BYTES = 128 * 2**20
"""Stand-in for a last-level cache whose size nobody tells; twice it is what a flush touches."""
USABLE_SHARE = 0.8
"""Share of the free memory that buffers may take; temporary copies and workspaces take the rest."""


@functools.lru_cache(maxsize=1)
def host() -> Host:
    """Return the description of this machine, read once."""
    return read_host()


def check_room(need_bytes: float, free_bytes: float | None) -> None:
    """Refuse buffers that do not fit, before anything is allocated.

    Raises:
        CannotRun: `too-large`. Where the free memory is not known nothing is refused.
    """
    if free_bytes is not None and need_bytes > USABLE_SHARE * free_bytes:
        raise CannotRun(
            "too-large",
            f"its buffers take {need_bytes / 1e9:.3g} GB; {free_bytes / 1e9:.3g} GB are free, "
            f"of which {USABLE_SHARE:.0%} may be used",
        )


def host_free_bytes() -> float | None:
    """Return the memory that this process can still take, bytes; None where nobody tells."""
    return free_memory_bytes()


def flush_bytes(cache_bytes: float) -> int:
    """Return how much memory a flush touches: twice the last-level cache."""
    return int(2 * (cache_bytes or UNKNOWN_CACHE_BYTES))


def host_witness(root: Path = Path("/")) -> Witness:
    """Return clock, temperature, load and stolen time of the host now, in less than a millisecond.

    Args:
        root: where `proc` and `sys` are, another folder in tests.
    """
    readings: dict[str, float] = {}
    unread = {
        "power_w": "the system gives a process no power reading of the CPU",
        "throttled": "the system gives no throttling flag of the CPU",
        "clock_nominal_hz": "the clock of one core says nothing of the core that works",
    }
    folder = root / "sys/devices/system/cpu/cpu0/cpufreq"
    clock = _number(folder / "scaling_cur_freq", 1e3) or _cpuinfo_hz(root / "proc/cpuinfo")
    _take(readings, unread, "clock_hz", clock, "neither cpufreq nor /proc/cpuinfo gives a clock")
    zones = sorted((root / "sys/class/thermal").glob("thermal_zone*/temp"))
    hot = [t for t in (_number(zone, 1e-3) for zone in zones) if t is not None]
    temperature = max(hot) if hot else None
    _take(readings, unread, "temperature_c", temperature, "the system has no thermal zone")
    load = _first_word(root / "proc/loadavg")
    _take(readings, unread, "load", load, "there is no /proc/loadavg")
    _take(readings, unread, "steal_s", _steal_s(root / "proc/stat"), "there is no /proc/stat")
    return Witness(readings=readings, unread=unread)


def _take(
    readings: dict[str, float], unread: dict[str, str], name: str, value: float | None, why: str
) -> None:
    if value is None:
        unread[name] = why
    else:
        readings[name] = value


def _head(path: Path, size: int = 2048) -> str:
    """Return the beginning of a system file; the whole of /proc/cpuinfo asks every core."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            return os.read(handle, size).decode(errors="replace")
        finally:
            os.close(handle)
    return ""


def _first_word(path: Path) -> float | None:
    words = _head(path).split()
    try:
        return float(words[0]) if words else None
    except ValueError:
        return None


def _number(path: Path, scale: float) -> float | None:
    value = _first_word(path)
    return None if value is None else value * scale


def _cpuinfo_hz(path: Path) -> float | None:
    for line in _head(path).splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "cpu MHz":
            with contextlib.suppress(ValueError):
                return float(value) * 1e6
    return None


def _steal_s(path: Path) -> float | None:
    """Return the time that the hypervisor has kept from this machine since its start, s."""
    words = _head(path).partition("\n")[0].split()
    if len(words) < 9 or words[0] != "cpu" or not words[8].isdigit():
        return None
    return int(words[8]) / os.sysconf("SC_CLK_TCK")
