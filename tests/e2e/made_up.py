"""Cases, suites and records of made-up devices, for the tests of measuring commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from crossgrade.api.keeping import bench_result
from crossgrade.measure.result import recomputed
from crossgrade.records.codec import dump, load, seal, to_json


def suite(path, *cases):
    """Write a suite in the own form and return its path."""
    written = [{"dtype": "float32", **case} for case in cases]
    Path(path).write_text(json.dumps({"schema": 1, "cases": written}))
    return path


def gemm(n=256, **more):
    """Return a square product as a case of a suite."""
    return {"op": "gemm", "arguments": {"M": n, "K": n, "N": n, **more}}


def one_record(folder) -> Path:
    """Return the only record of a folder."""
    (found,) = Path(folder).glob("*.json")
    return found


def slowed(record, share, out):
    """Write the record as it would be if its case took longer by a share; return its path."""
    found = load(record)
    result = bench_result(found, record)
    sessions = tuple(
        replace(s, spans_ns=tuple(
            span * (1 + share) if which == 0 else span
            for which, span in zip(s.order, s.spans_ns, strict=True)
        ))
        for s in result.sessions
    )  # fmt: skip
    other = recomputed(replace(result, sessions=sessions))
    dump(seal(replace(found, data=to_json(other))), Path(out))
    return Path(out)
