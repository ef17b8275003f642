"""Measuring works with the torch of a vendor's image, so it uses torch's public interface alone."""

import ast
from pathlib import Path

import pytest

import crossgrade

ROOMS = ("targets", "workloads/operators", "measure", "jobs", "testing")
ROOT = Path(crossgrade.__file__).parent
FILES = [p for room in ROOMS for p in sorted((ROOT / room).rglob("*.py"))]


def private_uses(text: str) -> list[str]:
    """Return every private name of torch that a module imports or reaches through attributes."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if _private(a.name)]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [
                f"{node.module}.{a.name}" for a in node.names if _private(f"{node.module}.{a.name}")
            ]
        elif isinstance(node, ast.Attribute) and _private(ast.unparse(node)):
            found.append(ast.unparse(node))
    return found


def _private(path: str) -> bool:
    parts = path.split(".")
    # An operator under `torch.ops` has the name that its schema gives it, underscore included.
    return (
        parts[:1] == ["torch"]
        and parts[1:2] != ["ops"]
        and any(p.startswith("_") and not p.startswith("__") for p in parts[1:])
    )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_private_torch(path):
    assert private_uses(path.read_text(encoding="utf-8")) == []


def test_the_scan_sees_private_names():
    assert private_uses("import torch._dynamo") == ["torch._dynamo"]
    assert private_uses("from torch import _C") == ["torch._C"]
    assert private_uses("torch.cuda._sleep(1)") == ["torch.cuda._sleep"]
    assert private_uses("torch.__version__; torch.mm; torch.ops.aten._softmax") == []
