"""PyTorch's own operators: which backends have a kernel, which have a composite.

Source: native_functions.yaml, which ships in every torch wheel below torchgen. Must not know
about backends outside the PyTorch repository.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from crossgrade.chips.derive.sheet import Sheet, sheet
from crossgrade.chips.derive.sources import entries, name_of, native_functions, read_rows, read_yaml

BACKENDS = ("CPU", "CUDA", "MPS", "XPU")
"""Dispatch keys that become columns."""
_UFUNC_KEYS = frozenset({"CPU", "CUDA"})
"""Keys for which code generation makes a kernel of an entry with `ufunc_inner_loop`.

The entry does not list them under `dispatch`, so a reader of `dispatch` alone finds that
`add.Tensor` has no CUDA kernel.
"""
IMPLICIT_DEFAULT = "CompositeImplicitAutograd(default)"
XPU_IN_TREE_SHARE = 0.2
"""Below this share of the CUDA kernels the XPU kernels stand elsewhere (torch-xpu-ops)."""


def dispatch_keys(entry: dict[str, Any]) -> frozenset[str]:
    """Dispatch keys of an entry, grouped ones (`CPU, CUDA: fn`) taken apart."""
    keys = {key.strip() for group in (entry.get("dispatch") or {}) for key in str(group).split(",")}
    return frozenset(keys | _UFUNC_KEYS if "ufunc_inner_loop" in entry else keys)


def composite_kind(entry: dict[str, Any]) -> str:
    """Alias keys with a composite kernel, joined by `|`; empty where there is none.

    An entry with no dispatch section at all is CompositeImplicitAutograd, unless it belongs
    to a structured group.
    """
    kinds = sorted(key for key in dispatch_keys(entry) if key.startswith("Composite"))
    if kinds:
        return "|".join(kinds)
    bare = not (
        entry.get("dispatch") or entry.get("structured_delegate") or entry.get("structured")
    )
    return IMPLICIT_DEFAULT if bare else ""


def in_tree(torch: Path | None) -> Sheet:
    """The table of an installed torch (None), a wheel, a folder or a yaml."""
    path, member = native_functions(torch)
    listed = {name_of(e): e for e in entries(read_yaml(path, member), member or path.name)}
    keys = {name: dispatch_keys(entry) for name, entry in listed.items()}
    rows = [_row(name, entry, keys) for name, entry in listed.items()]
    rows += _generated(listed)
    cuda = sum(row.get("CUDA") == "1" for row in rows)
    xpu = sum(row.get("XPU") == "1" for row in rows)
    backends = BACKENDS if xpu >= XPU_IN_TREE_SHARE * cuda else BACKENDS[:-1]
    return sheet(("op", *backends, "composite", "structured_delegate", "generated_from"), rows)


def _row(name: str, entry: dict[str, Any], keys: dict[str, frozenset[str]]) -> dict[str, str]:
    """One row; a functional or in-place structured operator has the keys of its out variant."""
    delegate = entry.get("structured_delegate") or ""
    mine = keys[name] | keys.get(delegate, frozenset())
    row = {backend: "1" for backend in BACKENDS if backend in mine}
    kind = composite_kind(entry)
    return {"op": name, **row, "composite": kind, "structured_delegate": delegate}


def _generated(listed: dict[str, dict[str, Any]]) -> Iterable[dict[str, str]]:
    """Rows for the operators on `autogen` lines, which have no entry of their own."""
    for name, entry in listed.items():
        for made in str(entry.get("autogen") or "").split(","):
            if made.strip() and made.strip() not in listed:
                yield {"op": made.strip(), "generated_from": name}


def core(torch: Path | None) -> Sheet:
    """The Core ATen opset: operators that native_functions.yaml tags `core`."""
    path, member = native_functions(torch)
    tagged = [
        name_of(entry)
        for entry in entries(read_yaml(path, member), member or path.name)
        if "core" in _tags(entry)
    ]
    return sheet(("op", "core"), ({"op": name, "core": "1"} for name in tagged))


def _tags(entry: dict[str, Any]) -> list[str]:
    """Tags of an entry, which are a name or a list of names."""
    tags = entry.get("tags") or []
    return [tags] if isinstance(tags, str) else [str(tag) for tag in tags]


def from_matrix(path: Path) -> Sheet:
    """The in-tree part of a backend matrix csv (columns op, CPU, ..., structured_delegate)."""
    columns = (*BACKENDS, "composite", "structured_delegate")
    rows = [
        {"op": row["op"], **{c: "" if row[c] == "0" else row[c] for c in columns}}
        for row in read_rows(path)
    ]
    return sheet(("op", *columns), rows)
