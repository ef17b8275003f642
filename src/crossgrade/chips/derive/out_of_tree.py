"""Operators that backends outside the PyTorch repository register: NPU, MUSA, MLU, XLA, HPU, XPU.

Each function reads one project's list. Must not know what PyTorch itself registers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crossgrade.chips.derive.in_tree import dispatch_keys
from crossgrade.chips.derive.sheet import Sheet, sheet
from crossgrade.chips.derive.sources import entries, name_of, native_functions, read_yaml
from crossgrade.errors import BadOperatorTable

NPU_WHEEL_LIST = "torch_npu/csrc/aten/npu_native_functions_by_codegen.yaml"
_NPU_SECTIONS = ("official", "symint", "quant", "autograd")
_XLA_SECTIONS = ("full_codegen", "supported", "autograd")


def covered_versions(value: Any, known: list[str], where: str) -> frozenset[str]:
    """Versions that `all_version`, `[v2.1, newest]` or `v2.1, v2.2` stand for."""
    if value is None:
        return frozenset()
    if value == "all_version":
        return frozenset(known)
    try:
        if isinstance(value, list):
            low, high = (str(end) for end in value)
            last = len(known) - 1 if high == "newest" else known.index(high)
            return frozenset(known[known.index(low) : last + 1])
        named = frozenset(part.strip() for part in str(value).split(","))
        if named <= set(known):
            return named
    except ValueError:
        pass
    raise BadOperatorTable(
        f"unknown version range {value!r}", where=where, hint=f"known: {', '.join(known)}"
    )


def cell(versions: frozenset[str], known: list[str]) -> str:
    """Versions as a cell: inclusive ranges of neighbours, such as `2.1..2.12,2.15`."""
    runs: list[list[str]] = []
    previous = -2
    for position, version in enumerate(known):
        if version in versions:
            if position == previous + 1:
                runs[-1].append(version)
            else:
                runs.append([version])
            previous = position
    ends = [(run[0].lstrip("v"), run[-1].lstrip("v")) for run in runs]
    return ",".join(low if low == high else f"{low}..{high}" for low, high in ends)


def npu(op_plugin: Path, native: Path) -> Sheet:
    """torch_npu's operators with the torch versions of each of the two kernel paths.

    Args:
        op_plugin: op_plugin_functions.yaml of Ascend/op-plugin.
        native: npu_native_functions.yaml of Ascend/pytorch, the core list.
    """
    document = read_yaml(op_plugin)
    known = [str(v) for v in document.get("all_version", [])] if isinstance(document, dict) else []
    found: dict[str, dict[str, frozenset[str]]] = {}
    custom = {name_of(entry) for entry in entries(document, op_plugin.name, "custom")}
    for section in _NPU_SECTIONS:
        for entry in entries(document, op_plugin.name, section):
            if (name := name_of(entry)) in custom:
                continue
            paths = found.setdefault(name, {"acl_op": frozenset(), "op_api": frozenset()})
            for path in paths:
                paths[path] |= covered_versions(entry.get(path), known, op_plugin.name)
    rows = {
        name: {"op": name, **{path: cell(versions, known) for path, versions in paths.items()}}
        for name, paths in found.items()
        if any(paths.values())
    }
    for name in _npu_core(native):
        rows.setdefault(name, {"op": name})["core"] = cell(frozenset(known), known)
    return sheet(("op", "acl_op", "op_api", "core"), rows.values())


def _npu_core(native: Path) -> list[str]:
    """Core operators that are aten operators: not those that the file itself defines."""
    document = read_yaml(native)
    custom = {name_of(entry) for entry in entries(document, native.name, "custom")}
    listed = [name_of(entry) for entry in entries(document, native.name, "supported")]
    return [name for name in listed if name not in custom]


def npu_wheel(wheel: Path) -> Sheet:
    """The supported aten functions that a torch_npu wheel (or the yaml out of one) lists."""
    member = NPU_WHEEL_LIST if wheel.suffix == ".whl" else ""
    listed = entries(read_yaml(wheel, member), member or wheel.name, "supported")
    rows = [_npu_wheel_row(entry) for entry in listed]
    return sheet(("op", "acl_op", "op_api", "core", "sparse"), rows)


def _npu_wheel_row(entry: dict[str, Any]) -> dict[str, str]:
    spaces = {part.strip() for part in str(entry.get("impl_ns") or "").split(",")} - {""}
    row = {"op": name_of(entry), **dict.fromkeys(spaces & {"acl_op", "op_api"}, "1")}
    if "sparse" in entry:
        row["sparse"] = "1"
    elif not spaces:
        row["core"] = "1"
    return row


def musa(path: Path) -> Sheet:
    """torch_musa's operators; `dense` where not only quantised, sparse or nested tensors run."""
    rows: dict[str, dict[str, str]] = {}
    for entry in entries(read_yaml(path), path.name):
        row = rows.setdefault(name_of(entry), {"op": name_of(entry), "listed": "1"})
        groups = entry.get("dispatch") or {"PrivateUse1": ""}
        if any("PrivateUse1" in (k.strip() for k in str(g).split(",")) for g in groups):
            row["dense"] = "1"
    return sheet(("op", "listed", "dense"), rows.values())


def mlu(path: Path) -> Sheet:
    """torch_mlu's aten operators."""
    names = {name_of(entry) for entry in entries(read_yaml(path), path.name, "aten")}
    return sheet(("op", "listed"), ({"op": name, "listed": "1"} for name in names))


def xla(path: Path) -> Sheet:
    """torch_xla's operators: those lowered by hand, by code generation, and with own autograd."""
    document = read_yaml(path)
    rows: dict[str, dict[str, str]] = {}
    for section in _XLA_SECTIONS:
        for entry in entries(document, path.name, section):
            rows.setdefault(name_of(entry), {"op": name_of(entry)})[section] = "1"
    return sheet(("op", *_XLA_SECTIONS), rows.values())


def hpu(path: Path) -> Sheet:
    """The Gaudi bridge's operators: those of hpu_op.yaml that are aten operators.

    The file is a mapping from overload to how its kernel is made. An entry with a schema of its
    own is an operator of another namespace.
    """
    document = read_yaml(path)
    if not isinstance(document, dict) or not all(isinstance(e, dict) for e in document.values()):
        raise BadOperatorTable(
            "expected a mapping of operators", where=path.name, hint="is this the right file?"
        )
    names = [str(op) for op, entry in document.items() if "custom_op_schema" not in entry]
    return sheet(("op", "listed"), ({"op": name, "listed": "1"} for name in names))


def xpu(path: Path, torch: Path | None) -> Sheet:
    """XPU before its kernels moved into the tree.

    Args:
        path: xpu_functions.yaml of intel/torch-xpu-ops.
        torch: Source of native_functions.yaml of the same torch, which has some kernels too.
    """
    rows: dict[str, dict[str, str]] = {}
    for entry in entries(read_yaml(path), path.name, "supported"):
        rows.setdefault(name_of(entry), {"op": name_of(entry)})["supported"] = "1"
    yaml, member = native_functions(torch)
    listed = {name_of(e): e for e in entries(read_yaml(yaml, member), member or yaml.name)}
    keys = {name: dispatch_keys(entry) for name, entry in listed.items()}
    for name, entry in listed.items():
        delegate = entry.get("structured_delegate") or ""
        if "XPU" in keys[name] | keys.get(delegate, frozenset()):
            rows.setdefault(name, {"op": name})["in_tree"] = "1"
    return sheet(("op", "supported", "in_tree"), rows.values())
