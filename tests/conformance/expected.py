"""The table of expected failures: what stands in it, and whether that is still so."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from crossgrade.testing import TargetConformance
from crossgrade.testing.conformance import case_ids

KINDS = ("notimpl", "notyet", "never")
"""notimpl: we could. notyet: the runtime must first. never: it makes no sense there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One test that one target does not pass."""

    target: str
    """Specification in the suite."""
    test: str
    """Name of the test, with its parameter in brackets."""
    kind: str
    """One of KINDS."""
    reason: str
    """Why, for a person."""


def read(path: Path) -> list[Expectation]:
    """Return the entries of the table; a ValueError names one that is not well formed."""
    wanted = {f.name for f in fields(Expectation)}
    found = []
    for row in tomllib.loads(path.read_text(encoding="utf-8")).get("expectation", []):
        if set(row) != wanted or row["kind"] not in KINDS or not row["reason"]:
            raise ValueError(f"not an expectation: {row}")
        found.append(Expectation(**row))
    return found


def check(expectations: Sequence[Expectation], classes: Sequence[type[TargetConformance]]) -> None:
    """Refuse an entry whose target or test is not there, and one that is there twice."""
    tests = {cls.spec: cls for cls in classes}
    seen: set[tuple[str, str]] = set()
    for e in expectations:
        if e.target not in tests:
            raise ValueError(f"no target `{e.target}` in the suite")
        if not _has_test(tests[e.target], e.test):
            raise ValueError(f"target `{e.target}` has no test `{e.test}`")
        if (e.target, e.test) in seen:
            raise ValueError(f"`{e.target}` `{e.test}` stands twice")
        seen.add((e.target, e.test))


def _has_test(cls: type[TargetConformance], test: str) -> bool:
    name, _, parameter = test.partition("[")
    function = getattr(cls, name, None)
    if function is None or not name.startswith("test_"):
        return False
    ids = set()
    if "case" in function.__code__.co_varnames:
        ids = set(case_ids(cls.cases))
    for mark in getattr(function, "pytestmark", []):
        if mark.name == "parametrize":
            ids |= set(mark.kwargs["ids"])
    return parameter.removesuffix("]") in ids if ids else not parameter
