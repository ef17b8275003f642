"""Targets by name: one table of what ships, plug-ins by entry point, and every torch device.

Nothing is imported before it is opened, so listing needs no runtime. Must not know what a target
does. A package adds targets with the entry point group `crossgrade.targets`: name -> a factory
`(rest: str, opening: Opening) -> Target`, where `rest` is what follows the first colon.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata

from crossgrade.errors import CrossgradeError, TargetAbsent, UnknownChip, UnknownTarget
from crossgrade.targets.protocol import Opening, Target
from crossgrade.targets.torch_table import BY_NAME, TORCH_DEVICES, TorchDevice

Factory = Callable[[str, Opening], Target]
OpenTarget = Callable[[str, Opening], Target]
"""Opens a target by its specification."""

GROUP = "crossgrade.targets"
"""Entry point group of plug-ins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """A target that ships with crossgrade."""

    name: str
    """What stands before the colon of a specification."""
    factory: str
    """`module:function`, imported when the target is opened."""
    needs: tuple[str, ...] = ()
    """Modules without which it cannot be opened."""
    install: str = ""
    """How they are installed."""
    what: str
    """What it is, one line."""
    preload: tuple[str, ...] = ()
    """Modules that the parent of forked sessions may import for it: none that starts threads."""


SHIPPED: tuple[Shipped, ...] = (
    Shipped(
        name="compile",
        factory="crossgrade.targets.compiled:open_compiled",
        needs=("torch",),
        install="pip install 'crossgrade[measure]'",
        what="torch.compile on a torch device: compile:cpu, compile:cuda:0",
        preload=("crossgrade.targets.compiled",),
    ),
    Shipped(
        name="faulty",
        factory="crossgrade.targets.simulated:open_faulty",
        what="simulated, with faults to be found: faulty:jitter",
    ),
    Shipped(
        name="null",
        factory="crossgrade.targets.simulated:open_null",
        what="simulated, exact and without faults",
    ),
    Shipped(
        name="onnxruntime",
        factory="crossgrade.targets.onnxruntime:open_onnxruntime",
        needs=("torch", "onnx", "onnxscript", "onnxruntime"),
        install="pip install 'crossgrade[onnxruntime]'",
        what="ONNX Runtime, by execution provider: onnxruntime, onnxruntime:cuda",
        preload=("crossgrade.targets.torch_device", "onnxscript"),
    ),
    Shipped(
        name="openvino",
        factory="crossgrade.targets.openvino:open_openvino",
        needs=("torch", "openvino"),
        install="pip install 'crossgrade[openvino]'",
        what="OpenVINO, by device: openvino, openvino:gpu",
        preload=("crossgrade.targets.torch_device",),
    ),
    Shipped(
        name="replay",
        factory="crossgrade.targets.simulated:open_replay",
        what="the samples of a record again: replay:FILE",
    ),
)
"""Sorted by name."""
_BY_NAME = {row.name: row for row in SHIPPED}


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetInfo:
    """One line of the list of targets."""

    name: str
    """What stands before the colon."""
    what: str
    """What it is, one line."""
    installed: bool
    """Whether its runtime is installed; that says nothing of a device."""
    devices: tuple[str, ...] | None
    """Specifications that open here; None where nobody looked."""
    reason: str = ""
    """Why it cannot be opened, and how that changes; empty where nothing is known against it."""


def open_target(spec: str, opening: Opening | None = None) -> Target:
    """Return the target that a specification `NAME[:REST]` means, opened.

    Args:
        spec: such as `cpu`, `cuda:0`, `compile:cpu`, `onnxruntime`, `null`.
        opening: how it is opened; None: as no session.

    Raises:
        UnknownTarget: no target has that name, or two packages claim it; the hint names near ones.
        TargetAbsent: it is known, and its runtime or its device is not here.
    """
    how = Opening() if opening is None else opening
    name, _, rest = spec.partition(":")
    if name in _BY_NAME:
        return _open_shipped(_BY_NAME[name], rest, how)
    if name not in BY_NAME:
        plugin = _plugin(name)
        if plugin is not None:
            return _open_plugin(plugin, rest, how)
    return _open_torch(name, rest)


def available_targets(*, look: bool = False) -> tuple[TargetInfo, ...]:
    """Return every target that has a name, sorted; plug-ins that do not load say so.

    Args:
        look: whether runtimes are imported to see which devices are here; it takes seconds.
    """
    rows = [_shipped_info(row, look) for row in SHIPPED]
    rows += [_torch_info(row, look) for row in TORCH_DEVICES]
    points = _points()
    for name in {point.name for point in points}:
        same = [point for point in points if point.name == name]
        rows.append(_plugin_info(name, same, look))
    return tuple(sorted(rows, key=lambda row: row.name))


def target_names() -> tuple[str, ...]:
    """Return the names that stand before a colon, sorted; plug-ins included."""
    own = {*_BY_NAME, *BY_NAME}
    return tuple(sorted(own | {point.name for point in _points()}))


def is_simulated(spec: str) -> bool:
    """Return whether a specification means a shipped target with a time of its own."""
    row = _BY_NAME.get(spec.partition(":")[0])
    return row is not None and row.factory.startswith("crossgrade.targets.simulated:")


def preload_of(spec: str) -> tuple[str, ...]:
    """Return the modules that the parent of forked sessions may import for a target."""
    name = spec.partition(":")[0]
    if name in _BY_NAME:
        return _BY_NAME[name].preload
    if name in BY_NAME:
        return ("crossgrade.targets.torch_device",)
    # One that starts threads on import is found out by the parent, and sessions start fresh.
    modules = [point.module for point in _points() if point.name == name]
    return tuple(modules) if len(modules) == 1 else ()


def _open_shipped(row: Shipped, rest: str, opening: Opening) -> Target:
    missing = [module for module in row.needs if not _installed(module)]
    if missing:
        raise TargetAbsent(
            f"target `{row.name}` needs {', '.join(missing)}, not installed here", hint=row.install
        )
    try:
        return _factory(row.factory)(rest, opening)
    except ImportError as error:
        raise TargetAbsent(
            f"target `{row.name}` does not import: {error}", hint=row.install
        ) from error


def _open_torch(name: str, rest: str) -> Target:
    row = BY_NAME.get(name)
    if row is None:
        _refuse_chip(name)
    if not _installed("torch"):
        if row is None:
            raise _unknown(name)
        hint = BY_NAME["cpu"].install
        raise TargetAbsent(f"target `{name}` needs torch, not installed here", hint=hint)
    from crossgrade.targets.torch_device import open_device

    try:
        return open_device(name, rest)
    except UnknownTarget as error:
        raise error if error.hint else _unknown(name) from error


def _refuse_chip(name: str) -> None:
    """Refuse a described chip: it is not here, and a prediction is another command's work."""
    from crossgrade.chips.loader import resolve_name

    try:
        chip = resolve_name(name).name
    except UnknownChip:
        return
    raise UnknownTarget(
        f"`{name}` is a described chip, and nothing here executes on it under that name",
        hint=f"`crossgrade assess MODEL --on {chip}` predicts; a device that is here opens by its "
        "runtime, such as `cpu` or `cuda:0`",
    )


def _unknown(name: str) -> UnknownTarget:
    near = difflib.get_close_matches(name.lower(), target_names(), n=3, cutoff=0.6)
    start = f"did you mean {' or '.join(near)}? " if near else ""
    known = ", ".join(target_names())
    return UnknownTarget(f"no target is named `{name}`", hint=f"{start}there are {known}")


def _points() -> Sequence[metadata.EntryPoint]:
    """Return the entry points of plug-ins."""
    points = metadata.entry_points(group=GROUP)
    # An editable install can list one entry point twice.
    return list({(p.name, p.value, _package(p)): p for p in points}.values())


def _plugin(name: str) -> metadata.EntryPoint | None:
    same = [point for point in _points() if point.name == name]
    if len(same) > 1:
        raise UnknownTarget(_claims(name, same), hint="uninstall one of them")
    return same[0] if same else None


def _claims(name: str, points: Sequence[metadata.EntryPoint]) -> str:
    owners = " and ".join(sorted(_package(point) for point in points))
    return f"target `{name}` is claimed by {owners}"


def _open_plugin(point: metadata.EntryPoint, rest: str, opening: Opening) -> Target:
    try:
        factory: Factory = point.load()
        return factory(rest, opening)
    except CrossgradeError:
        raise
    # A plug-in may raise anything; it must not look like a fault of crossgrade.
    except Exception as error:
        raise TargetAbsent(
            f"target `{point.name}` of package {_package(point)} does not open: "
            f"{type(error).__name__}: {error}",
            hint=f"it comes from {point.value}; report it to that package",
        ) from error


def _shipped_info(row: Shipped, look: bool) -> TargetInfo:
    missing = [module for module in row.needs if not _installed(module)]
    reason = f"needs {', '.join(missing)}: {row.install}" if missing else ""
    return TargetInfo(
        name=row.name,
        what=row.what,
        installed=not missing,
        devices=_devices(row) if look and not missing else None,
        reason=reason,
    )


def _devices(row: Shipped) -> tuple[str, ...] | None:
    """Return the specifications that a runtime offers; its module says so in `devices()`."""
    try:
        module = importlib.import_module(row.factory.partition(":")[0])
    except ImportError:
        return ()
    devices: Callable[[], tuple[str, ...]] | None = getattr(module, "devices", None)
    return None if devices is None else devices()


def _torch_info(row: TorchDevice, look: bool) -> TargetInfo:
    missing = next((m for m in ("torch", row.extension) if not _installed(m)), None)
    if missing is not None and not (row.built_in and missing == row.extension):
        return TargetInfo(
            name=row.name,
            what=row.what,
            installed=False,
            devices=None,
            reason=f"needs {missing}: {row.install}",
        )
    if not look:
        return TargetInfo(name=row.name, what=row.what, installed=True, devices=None)
    from crossgrade.targets.torch_device import device_specs

    devices, reason = device_specs(row.name)
    return TargetInfo(name=row.name, what=row.what, installed=True, devices=devices, reason=reason)


def _plugin_info(name: str, points: Sequence[metadata.EntryPoint], look: bool) -> TargetInfo:
    reason = ""
    if name in _BY_NAME or name in BY_NAME:
        reason = f"{_claims(name, points)}; crossgrade's own target of that name is used"
    elif len(points) > 1:
        reason = _claims(name, points)
    elif look:
        try:
            points[0].load()
        except Exception as error:
            reason = f"does not load: {type(error).__name__}: {error}"
    return TargetInfo(
        name=name,
        what=f"plug-in of {' and '.join(sorted(_package(p) for p in points))}",
        installed=not reason,
        devices=None,
        reason=reason,
    )


def _package(point: metadata.EntryPoint) -> str:
    return point.dist.name if point.dist else point.value.partition(":")[0]


def _factory(path: str) -> Factory:
    module, _, name = path.partition(":")
    factory: Factory = getattr(importlib.import_module(module), name)
    return factory


def _installed(module: str) -> bool:
    """Return whether a module could be imported, without importing it or its parent."""
    return importlib.util.find_spec(module.partition(".")[0]) is not None
