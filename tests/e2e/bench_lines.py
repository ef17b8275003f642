"""Suites and records for command lines that measure made-up devices."""

from __future__ import annotations

import json
from pathlib import Path


def suite(path, *cases):
    """Write a suite in the own form and return its path."""
    written = [{"dtype": "float32", **case} for case in cases]
    Path(path).write_text(json.dumps({"schema": 1, "cases": written}))
    return path


def gemm(n=256, **more):
    return {"op": "gemm", "arguments": {"M": n, "K": n, "N": n, **more}}


def one_record(folder) -> Path:
    (found,) = Path(folder).glob("*.json")
    return found
