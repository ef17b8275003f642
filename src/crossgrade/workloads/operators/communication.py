"""Communication operators: copies of one device are built, the others say what they take.

Must not know targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from crossgrade.values.operator_case import CannotRun
from crossgrade.workloads.operators.built import BuiltOperator
from crossgrade.workloads.operators.request import Request
from crossgrade.workloads.operators.tensors import (
    Described,
    Fill,
    maker,
    normal,
    tensor,
    torch_dtype,
    whole,
)


def _fill(name: str) -> Fill:
    return whole(-100, 100) if name in ("int8", "int32") else normal


def _collective(request: Request) -> BuiltOperator:
    """Refuse with the number of devices that it takes.

    Raises:
        CannotRun: `needs-devices`.
    """
    several = request.values.get("world_size", 2)
    raise CannotRun(
        "needs-devices",
        f"{request.op} takes {several} device{'s' if several != 1 else ''} that talk to each "
        "other; `bench op` times one by itself, collectives belong to `bench comm`",
    )


def _data(request: Request) -> Described:
    rows, columns = request.sizes("batch_size", "dim_size")
    return tensor(torch_dtype(request.dtype), rows * columns, fill=_fill(request.dtype))


def _copied(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return target.copy_(source)


def _device_to_device(request: Request) -> BuiltOperator:
    """Return a copy inside the memory of one device: 0 flop, 2 r d s bytes."""
    one = _data(request)
    size = 2.0 * one.nbytes
    return BuiltOperator(
        run=_copied, make_inputs=maker((one, one)), flop=0, bytes=size, buffer_bytes=size,
        exportable=False,
    )  # fmt: skip


def _over_the_host(request: Request) -> BuiltOperator:
    """Return a copy between host and device: 0 flop, r d s bytes over the link.

    Raises:
        CannotRun: `needs-devices`: copies of several devices at once.
    """
    devices = request.size("world_size")
    if devices > 1:
        raise CannotRun(
            "needs-devices",
            f"{request.op} with world_size {devices} copies for {devices} devices at once; "
            "`bench op` times one by itself, this belongs to `bench comm`",
        )
    one = _data(request)

    def make(rng: torch.Generator, device: torch.device) -> tuple[torch.Tensor, ...]:
        if device.type == "cpu":
            raise CannotRun(
                "needs-devices", f"{request.op} takes a device beside the host; this is the host"
            )
        host = one.make(rng, torch.device("cpu")).pin_memory()
        there = host.to(device=device)
        return (host, there) if request.op == "host2device" else (there, host)

    return BuiltOperator(
        run=_copied, make_inputs=make, flop=0, bytes=float(one.nbytes),
        buffer_bytes=2.0 * one.nbytes, exportable=False,
    )  # fmt: skip


BUILDERS: Mapping[str, Callable[[Request], BuiltOperator]] = {
    **dict.fromkeys(
        ("all_reduce", "reduce_scatter", "all_gather", "all_to_all", "broadcast", "p2p",
         "all_reduce_h2d"),
        _collective,
    ),
    "host2device": _over_the_host,
    "device2host": _over_the_host,
    "device2device": _device_to_device,
}  # fmt: skip
"""Name -> builder."""
