"""Communication in the list of the catalogue: xpu-perf's 10.

Known here so that its workloads are taken whole. All but copies of one device take several devices,
which `bench op` does not have.
"""

from __future__ import annotations

from typing import Any

from crossgrade.workloads.operators.info import ArgumentInfo, OperatorInfo, size
from crossgrade.workloads.operators.listed_basic import COLUMNS, HIDDEN, ROWS, TOKENS, in_form

_REDUCED = ("float32", "float16", "bfloat16")
_MOVED = (*_REDUCED, "int32", "int8")
_COPIED = (*_REDUCED, "int8")
_WORLD = size("world_size", "devices", unit="devices", most=1 << 20)
_BOTH = (
    in_form(ROWS, "default"),
    in_form(COLUMNS, "default"),
    in_form(TOKENS, "llm"),
    in_form(HIDDEN, "llm"),
)
_SMALL: dict[str, Any] = {"batch_size": 256, "dim_size": 1024}
_SEVERAL = "takes several devices; `bench op` has one"
_HOST = "takes a device that is not the host"


def _collective(name: str, line: str, dtypes: tuple[str, ...]) -> OperatorInfo:
    return OperatorInfo(
        name=name, group="communication", line=line, arguments=(_WORLD, *_BOTH), dtypes=dtypes,
        defaults={"world_size": 2, **_SMALL}, forms=("default", "llm"), xpu_perf=True,
        not_on_cpu=_SEVERAL, devices="world_size",
    )  # fmt: skip


def _copy(
    name: str, line: str, arguments: tuple[ArgumentInfo, ...], defaults: dict[str, Any], why: str,
    *, dtypes: tuple[str, ...] = _COPIED, devices: str = "",
) -> OperatorInfo:  # fmt: skip
    return OperatorInfo(
        name=name, group="communication", line=line, arguments=(*arguments, ROWS, COLUMNS),
        dtypes=dtypes, defaults={**defaults, **_SMALL}, xpu_perf=True, not_on_cpu=why,
        devices=devices,
    )  # fmt: skip


COMMUNICATION: tuple[OperatorInfo, ...] = (
    _collective("all_reduce", "sum over the devices, on every device", _REDUCED),
    _collective("reduce_scatter", "sum over the devices, a share on each", _REDUCED),
    _collective("all_gather", "shares of the devices put together on every device", _MOVED),
    _collective("all_to_all", "a share from every device to every device", _MOVED),
    _collective("broadcast", "data of each device in turn sent to all", _COPIED),
    _copy("p2p", "data sent from one device to another",
          (size("src_device", "device that sends", least=0, unit=""),
           size("dst_device", "device that receives", least=0, unit="")),
          {"src_device": 0, "dst_device": 1}, _SEVERAL, dtypes=_MOVED),
    _copy("all_reduce_h2d", "all_reduce while data is copied from the host", (_WORLD,),
          {"world_size": 2}, _SEVERAL, dtypes=_REDUCED, devices="world_size"),
    _copy("host2device", "copy from pinned memory of the host to the device", (_WORLD,),
          {"world_size": 1}, _HOST, devices="world_size"),
    _copy("device2host", "copy from the device to pinned memory of the host", (_WORLD,),
          {"world_size": 1}, _HOST, devices="world_size"),
    _copy("device2device", "copy inside the memory of one device", (), {}, ""),
)  # fmt: skip
"""xpu-perf's communication operators."""
