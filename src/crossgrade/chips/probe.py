"""The CPU of this machine as a chip: what it is, read from the system, and what it does, measured.

Rates are measured through numpy, so they are what numpy's BLAS and loops reach here, not the
data sheet of the processor. Must not know torch: torch brings its own kernels, often faster.
"""

from __future__ import annotations

import functools
import math
import os
import platform
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crossgrade.values.chip import Chip, Peak
from crossgrade.values.evidence import Constant, Source

Clock = Callable[[], float]
Array = npt.NDArray[Any]

_BF16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16")
"""ISA flags of /proc/cpuinfo that mean bf16 multiply-adds: x86 AMX and AVX-512, Arm BF16."""
_MIN_STREAM_BYTES = 64 * 2**20
_MAX_STREAM_BYTES = 128 * 2**20
_BLOCK_ELEMENTS = 16_384
"""Elements of the vector measurement: three fp32 arrays of 64 KiB stay in a core's own cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the operating system says of the machine and of this process's share of it."""

    model: str
    """Name of the processor."""
    vendor: str
    """The processor's own vendor string, such as `GenuineIntel`."""
    isa: str
    """Machine type, such as `x86_64`."""
    flags: frozenset[str]
    """ISA flags; empty where the system does not tell."""
    threads: int
    """Hardware threads that this process may use: affinity and cgroup quota applied, at least 1."""
    threads_note: str
    """How `threads` came about."""
    memory_bytes: float | None
    """Memory that this process may use, bytes; None where the system does not tell."""
    memory_note: str
    """How `memory_bytes` came about."""
    cache_bytes: float
    """Size of the last-level cache, bytes; 0 where the system does not tell."""


def read_host(root: Path = Path("/")) -> Host:
    """Return the machine's description; every field that cannot be read has its stated stand-in.

    Args:
        root: where `proc` and `sys` are, another folder in tests.
    """
    cpuinfo = _fields(_read(root / "proc/cpuinfo"))
    threads, threads_note = _threads(root)
    memory, memory_note = _memory(root)
    return Host(
        model=cpuinfo.get("model name") or platform.processor() or platform.machine() or "unknown",
        vendor=cpuinfo.get("vendor_id") or cpuinfo.get("CPU implementer") or "unknown",
        isa=platform.machine() or "unknown",
        flags=frozenset((cpuinfo.get("flags") or cpuinfo.get("Features") or "").split()),
        threads=threads,
        threads_note=threads_note,
        memory_bytes=memory,
        memory_note=memory_note,
        cache_bytes=_last_level_cache(root),
    )


def free_memory_bytes(root: Path = Path("/")) -> float | None:
    """Return the memory that this process can still take, bytes; None where nobody tells.

    The least of what the machine has available and what each cgroup above the process leaves.
    File pages that the kernel can drop count as free.

    Args:
        root: where `proc` and `sys` are, another folder in tests.
    """
    free: list[float] = []
    words = _fields(_read(root / "proc/meminfo")).get("MemAvailable", "").split()
    if words and words[0].isdigit():
        free.append(float(words[0]) * 1024)
    for limit_name, used_name in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        for folder in _cgroup_folders(root, "memory"):
            limit, used = _read(folder / limit_name).strip(), _read(folder / used_name).strip()
            if limit.isdigit() and used.isdigit():
                pages = re.search(r"^inactive_file (\d+)$", _read(folder / "memory.stat"), re.M)
                droppable = float(pages[1]) if pages else 0.0
                free.append(max(0.0, float(limit) - float(used) + droppable))
    return min(free, default=None)


def probe_cpu(
    *, date: str, clock: Clock = time.perf_counter, host: Host | None = None, budget_s: float = 0.5
) -> Chip:
    """Return the CPU of this machine as chip `cpu`, with rates measured now in about `budget_s`.

    Each rate is the best of several after a warm-up, over all threads that the process may use.

    Args:
        date: ISO date of the measurement; goes into its source.
        clock: seconds, monotonic.
        host: description to use; None reads this machine's.
        budget_s: seconds to spend on timed loops; allocation and warm-up come on top.
    """
    found = read_host() if host is None else host
    fp32 = _matmul_rate(np.float32, clock, 0.35 * budget_s)
    peaks = [
        _peak("matrix", "fp32", fp32, "numpy matmul, square, best size, all threads"),
        _peak("matrix", "fp64", _matmul_rate(np.float64, clock, 0.35 * budget_s), "as fp32"),
        _peak(
            "vector",
            "fp32",
            _vector_rate(found, clock, 0.1 * budget_s),
            "in-cache a*b, all threads",
        ),
    ]
    flag = next((name for name in _BF16_FLAGS if name in found.flags), None)
    if flag is not None:
        note = f"not measured: twice the measured fp32, because the ISA has {flag}"
        peaks.append(_peak("matrix", "bf16", 2 * fp32, note))
    bandwidth = _bandwidth(found, clock, 0.2 * budget_s)
    return _chip(found, date, tuple(peaks), bandwidth, has_bf16=flag is not None)


def _chip(
    host: Host, date: str, peaks: tuple[Peak, ...], bandwidth: float, *, has_bf16: bool
) -> Chip:
    """Return the chip value around the measured rates."""
    memory = host.memory_bytes
    return Chip(
        name="cpu",
        title=host.model,
        aliases=("host",),
        vendor=host.vendor,
        origin="ZZ",
        scope="node",
        available=None,
        available_source=None,
        op_table="cpu",
        soc=None,
        architecture=f"cpu-{host.isa}",
        peaks=peaks,
        memory_capacity=None if memory is None else _measured(memory, "byte", host.memory_note),
        memory_bandwidth=_measured(bandwidth, "byte/s", "numpy copy, read plus write, all threads"),
        buffers=(),
        links=(),
        power=None,
        cores=_measured(host.threads, "1", host.threads_note),
        clock=None,
        numerics=(),
        sources=(_source(host, date),),
        notes=_notes(has_bf16=has_bf16),
    )


def _source(host: Host, date: str) -> Source:
    """Return the source that every constant of the probed chip names."""
    return Source(
        id="probe",
        title=f"measured here: {host.model} ({host.isa})",
        url="https://numpy.org",
        date=date,
        note=f"numpy {np.__version__}, {_blas()}; best of several after a warm-up",
        kind="measured",
    )


def _notes(*, has_bf16: bool) -> tuple[str, ...]:
    """Return what a reader of the probed chip should know."""
    return (
        "Rates are what numpy reaches here, a lower bound of the processor's peak.",
        "The vendor's seat is not looked up: origin ZZ is ISO 3166's code for unknown.",
        "Scope node: all threads that this process may use, and the memory they share.",
        "bf16 is a derived rate; how much of it a framework reaches depends on its kernels."
        if has_bf16
        else "No bf16 flag in the ISA: bf16 matmuls are emulated, so no rate is given.",
        "Power and clock are not read: neither is constant on a CPU.",
    )


def _measured(value: float, unit: str, note: str) -> Constant:
    """Return a constant whose source is this probe."""
    return Constant(value=float(value), unit=unit, scope="node", source="probe", note=note)


def _peak(engine: Any, precision: Any, rate: float, note: str) -> Peak:
    """Return a peak whose source is this probe."""
    return Peak(engine=engine, precision=precision, rate=_measured(rate, "FLOP/s", note))


def _best_s(call: Callable[[], object], clock: Clock, budget_s: float, least: int = 3) -> float:
    """Return the shortest time of `call` in seconds, of at least `least` and while budget lasts."""
    call()
    best, spent, done = math.inf, 0.0, 0
    while done < least or (spent < budget_s and done < 1000):
        start = clock()
        call()
        taken = clock() - start
        spent, done = spent + taken, done + 1
        if taken > 0:
            best = min(best, taken)
    # A clock too coarse to see one call still bounds it from the total.
    return best if math.isfinite(best) else max(spent / done, 1e-9)


def _matmul_rate(dtype: Any, clock: Clock, budget_s: float) -> float:
    """Return the matmul rate of numpy's BLAS, FLOP/s: the best over several square sizes.

    Where the system runs two BLAS threads on one core, each product stalls for a time slice of
    some 10 ms whatever its size; only a product that lasts longer shows the machine. So the size
    grows until one product costs a sixth of the budget, not until the rate stops growing.
    """
    rate, spent = 0.0, 0.0
    for size in (256, 640, 1280, 1920, 2880, 4096):
        a, b, out = (np.full((size, size), 0.5, dtype=dtype) for _ in range(3))
        start = clock()
        best = _best_s(functools.partial(np.matmul, a, b, out=out), clock, budget_s / 8, least=2)
        spent += clock() - start
        rate = max(rate, 2 * size**3 / best)
        if best > budget_s / 6 or spent > budget_s:
            break
    return float(rate)


def _bandwidth(host: Host, clock: Clock, budget_s: float) -> float:
    """Return the copy bandwidth of memory, bytes/s, read plus write, all threads."""
    size = min(max(3 * host.cache_bytes, _MIN_STREAM_BYTES), _MAX_STREAM_BYTES)
    if host.memory_bytes is not None:
        size = min(size, host.memory_bytes / 8)
    count = max(host.threads, int(size) // 8)
    source, target = np.ones(count), np.zeros(count)
    edges = np.linspace(0, count, host.threads + 1).astype(int)

    def copy(index: int) -> None:
        part = slice(edges[index], edges[index + 1])
        np.copyto(target[part], source[part])

    # numpy copies with one thread and releases the GIL, so one Python thread each will do.
    with ThreadPoolExecutor(max_workers=host.threads) as pool:
        best = _best_s(lambda: list(pool.map(copy, range(host.threads))), clock, budget_s)
    return float(16 * count / best)


def _vector_rate(host: Host, clock: Clock, budget_s: float) -> float:
    """Return the rate of elementwise fp32 products on arrays that stay in cache, FLOP/s.

    One thread is timed and counted for each: starting threads takes longer than the work.
    """
    a, b, out = (np.full(_BLOCK_ELEMENTS, 1.5, dtype=np.float32) for _ in range(3))
    repeats = 64

    def multiply() -> None:
        for _ in range(repeats):
            np.multiply(a, b, out=out)

    one = repeats * _BLOCK_ELEMENTS / _best_s(multiply, clock, budget_s)
    return float(one * host.threads)


def _blas() -> str:
    """Return the name and version of numpy's BLAS."""
    try:
        config: Any = np.show_config(mode="dicts")
        blas = config["Build Dependencies"]["blas"]
        return f"BLAS {blas['name']} {blas['version']}"
    except (TypeError, KeyError):
        return "BLAS unknown"


def _read(path: Path) -> str:
    """Return the text of a system file, empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _fields(text: str) -> dict[str, str]:
    """Return the first value of each `key : value` line."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, separator, value = line.partition(":")
        if separator:
            found.setdefault(key.strip(), value.strip())
    return found


def _cgroup_files(root: Path, controller: str, name: str) -> list[str]:
    """Return the contents of `name` for this process's cgroup and its parents (v1 and v2)."""
    texts = [_read(folder / name).strip() for folder in _cgroup_folders(root, controller)]
    return [text for text in texts if text]


def _cgroup_folders(root: Path, controller: str) -> list[Path]:
    """Return the folders of this process's cgroup and its parents (v1 and v2)."""
    folders: list[Path] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / (controller if controllers else "")
        folder = base / path.lstrip("/")
        # Inside a container the path is often that of the host: the mount itself counts then.
        for place in (folder, *folder.parents):
            folders.append(place)
            if place == base:
                break
    return folders


def _threads(root: Path) -> tuple[int, str]:
    """Return how many hardware threads this process may use, and how that is known."""
    try:
        count, note = len(os.sched_getaffinity(0)), "hardware threads by affinity"
    except (AttributeError, OSError):
        count, note = os.cpu_count() or 1, "hardware threads of the machine"
    quotas: list[float] = []
    for text in _cgroup_files(root, "cpu", "cpu.max"):
        quota, _, period = text.partition(" ")
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            quotas.append(int(quota) / int(period))
    limits = _cgroup_files(root, "cpu", "cpu.cfs_quota_us")
    periods = _cgroup_files(root, "cpu", "cpu.cfs_period_us")
    for quota, period in zip(limits, periods, strict=False):
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            quotas.append(int(quota) / int(period))
    if quotas and min(quotas) < count:
        return max(1, math.ceil(min(quotas))), f"cgroup quota of {min(quotas):g}, of {count} {note}"
    return max(1, count), note


def _memory(root: Path) -> tuple[float | None, str]:
    """Return how much memory this process may use in bytes, and how that is known."""
    words = _fields(_read(root / "proc/meminfo")).get("MemTotal", "").split()
    total: float | None = None
    if words and words[0].isdigit():
        total = float(words[0]) * 1024
    elif hasattr(os, "sysconf"):
        try:
            total = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        except (ValueError, OSError):
            total = None
    limits = [
        float(text)
        for name in ("memory.max", "memory.limit_in_bytes")
        for text in _cgroup_files(root, "memory", name)
        if text.isdigit()
    ]
    if limits and (total is None or min(limits) < total):
        of = "" if total is None else f", of {total / 1e9:.1f} GB in the machine"
        return min(limits), f"cgroup limit{of}"
    return total, "memory of the machine"


def _last_level_cache(root: Path) -> float:
    """Return the size of the largest cache of the first core in bytes, 0 where unknown."""
    scale = {"K": 2**10, "M": 2**20, "G": 2**30}
    sizes = [0.0]
    for path in sorted((root / "sys/devices/system/cpu/cpu0/cache").glob("index*/size")):
        text = _read(path).strip()
        if text[:-1].isdigit() and text[-1:] in scale:
            sizes.append(float(text[:-1]) * scale[text[-1]])
    return max(sizes)
