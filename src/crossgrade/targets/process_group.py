"""A rank in a process group of torch.distributed: collectives that can be checked and timed.

Which backend a device type has stands in `crossgrade.targets.torch_table`. Ranks find each other on
this machine through a store of torch whose port the system chose. Must not know what is measured,
nor who started the rank.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
import torch.distributed as dist

from crossgrade.errors import BadOption, TargetAbsent, UnknownTarget
from crossgrade.targets.failures import cannot_run
from crossgrade.targets.host import check_room, host_free_bytes
from crossgrade.targets.protocol import Kernel
from crossgrade.targets.torch_device import TorchTarget, device_specs, find_device
from crossgrade.targets.torch_table import BY_NAME
from crossgrade.values.collective import CollectiveOp, CommCell

_stores: Any = dist
"""torch.distributed, whose stores no type checker sees."""
_PERIOD: Final = 251
"""Contents repeat after so many elements; prime, so that shares of ranks differ."""
_MOST_VALUE: Final = 120
_EXACT: Final = {"bfloat16": 256, "float16": 2048, "int8": 127, "uint8": 255, "float8_e4m3fn": 16,
                 "float8_e5m2": 8}  # fmt: skip
"""Largest whole number up to which a format has all; of others it is far above what is needed."""
_PAIR_BYTES: Final = 1 << 16
"""Message that pairs of ranks exchange."""
_POLL_S: Final = 0.005
Tensor = torch.Tensor


def group_backend(device_type: str) -> str:
    """Return the backend for groups of a device type, seen to be here.

    Raises:
        UnknownTarget: torch has no group for that device type, or no such type.
        TargetAbsent: the backend is not here.
    """
    row = BY_NAME.get(device_type)
    name = row.group_backend if row else _registered(device_type)
    if not name:
        known = ", ".join(r.name for r in BY_NAME.values() if r.group_backend)
        raise UnknownTarget(
            f"no backend of torch.distributed is known for `{device_type}`",
            hint=f"there is {known}",
        )
    install = row.install if row else ""
    if not dist.is_available():
        raise TargetAbsent("this torch was built without torch.distributed", hint=install)
    if row and row.group_extension:
        try:
            importlib.import_module(row.group_extension)
        except Exception as error:
            raise TargetAbsent(
                f"{row.group_extension} does not import: {error}", hint=install
            ) from error
    if not dist.is_backend_available(name):
        raise TargetAbsent(f"this torch has no backend `{name}`", hint=install)
    return name


def _registered(device_type: str) -> str:
    """Return what an extension has registered with torch for a device type; empty: nothing."""
    with contextlib.suppress(Exception):
        return str(dist.get_default_backend_for_device(device_type))
    return ""


def group_devices(device_type: str, ranks: int) -> tuple[str, ...]:
    """Return the device of each rank.

    Raises:
        UnknownTarget: torch knows no such device type.
        TargetAbsent: no such device is here.
        BadOption: there are fewer devices than ranks; of a CPU all ranks have a part.
    """
    find_device(device_type, "")  # says why where there is none
    found, _ = device_specs(device_type)
    if found == (device_type,):
        return found * ranks
    if len(found) < ranks:
        raise BadOption(
            f"--ranks {ranks}, and there {'is' if len(found) == 1 else 'are'} {len(found)} of "
            f"`{device_type}` here",
            hint="a rank takes a device of its own; several machines are not joined yet",
        )
    return found[:ranks]


def torch_dtype(name: str) -> torch.dtype:
    """Return torch's dtype of that name.

    Raises:
        BadOption: this torch has none.
    """
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise BadOption(f"--dtype {name}: this torch has no such format", hint="fp32, bf16, fp16")
    return found


class ProcessGroup:
    """One rank, joined with the others; `join` makes it."""

    def __init__(
        self, device: torch.device, rank: int, ranks: int, store: Any, backend: str
    ) -> None:
        """Take a group that is joined."""
        self.rank, self.ranks, self.backend = rank, ranks, backend
        self.device = device
        self._store = store
        self._target = TorchTarget(device)
        self._message = torch.zeros(_PAIR_BYTES // 4, device=device)
        self._small = torch.zeros(16, device=device)

    def facts(self) -> Mapping[str, str]:
        """Return what the device of this rank is."""
        return self._target.facts()

    def clock_ns(self) -> int:
        """Return the host's clock, ns; the ranks of a machine share it."""
        return time.perf_counter_ns()

    def synchronize(self) -> None:
        """Wait until all that was launched here has run."""
        self._target.synchronize()

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        dist.barrier()
        self._target.synchronize()

    def meet(self) -> None:
        """Sum a few numbers over all ranks."""
        dist.all_reduce(self._small)
        self._target.synchronize()

    def agree(self, key: str, value: Any) -> list[Any]:
        """Return what every rank says, in order; by the store, not by the backend under test.

        Args:
            key: what it is about, never used twice.
            value: JSON value of this rank.
        """
        self._store.set(f"{key}/{self.rank}", json.dumps(value))
        return [json.loads(self._store.get(f"{key}/{rank}")) for rank in range(self.ranks)]

    def exchange(self, peer: int, *, first: bool) -> None:
        """Send a message to another rank and receive one from it, one after the other."""
        ways = (dist.send, dist.recv) if first else (dist.recv, dist.send)
        for way in ways:
            way(self._message, peer)
        self._target.synchronize()

    def own_work(self) -> Kernel:
        """Return fixed work that needs no other rank: the anchor kernel of the device."""
        return self._target.prepare(self._target.anchor())

    def buffers(self, cells: tuple[CommCell, ...], dtype: str, seed: int) -> Buffers:
        """Return the buffers of collectives; all of them share two.

        Raises:
            CannotRun: they do not fit.
        """
        kind = torch_dtype(dtype)
        most = max(cell.elements for cell in cells)
        share = self.ranks if self.device.type == "cpu" else 1  # ranks of a CPU share its memory
        if self.device.type == "cpu":
            free = host_free_bytes()
            # A check holds what is expected beside what came.
            check_room(4.0 * most * kind.itemsize * share, free)
        return Buffers(self, most, kind, seed)

    def leave(self) -> None:
        """Let rank 0, who has the store, be the last; nothing is torn down that could hang."""
        self._store.set(f"left/{self.rank}", "1")
        if self.rank == 0:
            self._store.wait([f"left/{rank}" for rank in range(self.ranks)])


class Buffers:
    """What a rank gives and gets, in one format; a collective takes the front of both."""

    def __init__(self, group: ProcessGroup, elements: int, dtype: torch.dtype, seed: int) -> None:
        """Allocate and fill them."""
        self._group = group
        self._dtype = dtype
        self._seed = seed
        limit = _EXACT.get(str(dtype).removeprefix("torch."), _MOST_VALUE * group.ranks)
        self._values = min(_MOST_VALUE, max(2, limit // group.ranks + 1))
        try:
            self.given = self._tiled(self._pattern(group.rank), 0, elements)
            self.got = torch.zeros_like(self.given)
        except Exception as error:
            raise cannot_run(error, doing="allocating buffers") from error

    def collective(self, cell: CommCell) -> Collective:
        """Return a collective of one size on these buffers."""
        return Collective(self._group, self, cell)

    def expected(self, cell: CommCell) -> torch.Tensor:
        """Return what this rank must get, by arithmetic on whole numbers."""
        group, n = self._group, cell.elements
        share = n // group.ranks
        mine = group.rank * share
        if cell.op == "all-reduce":
            return self._tiled(self._sum(), 0, n)
        if cell.op == "reduce-scatter":
            return self._tiled(self._sum(), mine, share)
        if cell.op == "broadcast":
            return self._tiled(self._pattern(0), 0, n)
        if cell.op == "send-recv":
            return self._tiled(self._pattern((group.rank - 1) % group.ranks), 0, n)
        start = mine if cell.op == "all-to-all" else 0
        return torch.cat([self._tiled(self._pattern(r), start, share) for r in range(group.ranks)])

    def _pattern(self, rank: int) -> torch.Tensor:
        """Return one period of what a rank gives: whole numbers that differ by rank and place."""
        place = torch.arange(_PERIOD, dtype=torch.int64)
        return (place * 31 + rank * 57 + self._seed * 13) % _PERIOD % self._values

    def _sum(self) -> torch.Tensor:
        patterns = [self._pattern(rank) for rank in range(self._group.ranks)]
        return torch.stack(patterns).sum(0)

    def _tiled(self, period: torch.Tensor, start: int, count: int) -> torch.Tensor:
        """Return `count` elements of an endless repetition, from `start`, on the device."""
        rolled = torch.roll(period, -(start % _PERIOD)).float().to(self._dtype)
        return rolled.to(self._group.device).repeat(-(-count // _PERIOD))[:count].clone()


class Collective:
    """A collective of one size, ready to be launched."""

    def __init__(self, group: ProcessGroup, buffers: Buffers, cell: CommCell) -> None:
        """Take the front of the buffers."""
        self._group, self._buffers, self._cell = group, buffers, cell
        self._all = (buffers.given[: cell.elements], buffers.got[: cell.elements])
        self._launch = _LAUNCHES[cell.op]

    def refill(self) -> None:
        """Put back what an in-place sum has changed, so that it does not grow without end."""
        given, got = self._all
        if self._cell.op == "all-reduce":
            got.copy_(given)

    def launch(self) -> None:
        """Start one call; on the CPU it has run when this returns."""
        self._launch(*self._all, self._group.rank, self._group.ranks)

    def read(self) -> float:
        """Return one element of what this rank got, on the host."""
        return float(self._all[1][0])

    def wrong(self) -> str:
        """Run it once and return what is wrong with what this rank got; empty: nothing.

        Raises:
            CannotRun: the backend refuses it.
        """
        given, got = self._all
        try:
            got.fill_(_MOST_VALUE)
            if self._cell.op == "all-reduce" or (
                self._cell.op == "broadcast" and self._group.rank == 0
            ):
                got.copy_(given)
            self.launch()
            self._group.synchronize()
            want = self._buffers.expected(self._cell)
            return _difference(got[: want.numel()], want)
        except Exception as error:
            raise cannot_run(error) from error


def _difference(got: torch.Tensor, want: torch.Tensor) -> str:
    """Return how two buffers differ, bit by bit; empty: not at all."""
    wide = got.element_size()
    same = (got.view(torch.uint8) == want.view(torch.uint8)).view(-1, wide).all(1)
    bad = int((~same).sum())
    if not bad:
        return ""
    at = int((~same).nonzero()[0])
    return (f"{bad} of {want.numel()} elements are wrong, first [{at}]: {float(got[at]):g} "
            f"instead of {float(want[at]):g}")  # fmt: skip


def _all_reduce(given: Tensor, got: Tensor, rank: int, ranks: int) -> None:
    dist.all_reduce(got)


def _all_gather(given: Tensor, got: Tensor, rank: int, ranks: int) -> None:
    dist.all_gather_into_tensor(got, given[: given.numel() // ranks])


def _reduce_scatter(given: Tensor, got: Tensor, rank: int, ranks: int) -> None:
    dist.reduce_scatter_tensor(got[: given.numel() // ranks], given)


def _all_to_all(given: Tensor, got: Tensor, rank: int, ranks: int) -> None:
    dist.all_to_all_single(got, given)


def _broadcast(given: Tensor, got: Tensor, rank: int, ranks: int) -> None:
    dist.broadcast(got, 0)


def _send_recv(given: Tensor, got: Tensor, rank: int, ranks: int) -> None:
    both = [dist.P2POp(dist.isend, given, (rank + 1) % ranks),
            dist.P2POp(dist.irecv, got, (rank - 1) % ranks)]  # fmt: skip
    for work in dist.batch_isend_irecv(both):
        work.wait()


_LAUNCHES: Final[Mapping[CollectiveOp, Callable[[Tensor, Tensor, int, int], None]]] = {
    "all-reduce": _all_reduce,
    "all-gather": _all_gather,
    "reduce-scatter": _reduce_scatter,
    "all-to-all": _all_to_all,
    "broadcast": _broadcast,
    "send-recv": _send_recv,
}
"""Collective -> what starts one call of it on what a rank gives and gets."""


def join(device: str, rank: int, ranks: int, folder: Path, timeout_s: float) -> ProcessGroup:
    """Return this process as a rank of a group, when all of them are there.

    Args:
        device: of this rank, such as `cuda:1`.
        rank: number of this rank.
        ranks: how many there are.
        folder: where rank 0 tells the others the port of its store; the same for all.
        timeout_s: longest wait for the others, here and in every collective, s.

    Raises:
        TargetAbsent: device or backend is not here.
    """
    name, _, index = device.partition(":")
    found = find_device(name, index)
    backend = group_backend(name)
    if found.type == "cpu":
        torch.set_num_threads(max(1, _cpus() // ranks))
        loopback = _loopback()
        if loopback:  # else a machine whose own name does not resolve has no group
            os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
    store = _store(rank, folder / "port", timeout_s)
    target = TorchTarget(found)  # makes the device current before the group looks for it
    limit = datetime.timedelta(seconds=timeout_s)
    dist.init_process_group(backend, store=store, rank=rank, world_size=ranks, timeout=limit)
    target.close()
    return ProcessGroup(found, rank, ranks, _stores.PrefixStore("crossgrade", store), backend)


def _store(rank: int, told: Path, timeout_s: float) -> Any:
    """Return the store: rank 0 opens it on a port of the system's choice and tells which."""
    limit = datetime.timedelta(seconds=timeout_s)
    if rank == 0:
        store = _stores.TCPStore(
            "127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=limit
        )
        draft = told.with_suffix(".new")
        draft.write_text(str(store.port))
        draft.replace(told)
        return store
    end = time.monotonic() + timeout_s
    while not told.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"rank 0 did not open the store within {timeout_s:g} s")
        time.sleep(_POLL_S)
    return _stores.TCPStore("127.0.0.1", int(told.read_text()), is_master=False, timeout=limit)


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _loopback() -> str:
    """Return the name of the loopback interface; empty where it cannot be told."""
    with contextlib.suppress(OSError, AttributeError):
        return next((n for _, n in socket.if_nameindex() if n.startswith("lo")), "")
    return ""
