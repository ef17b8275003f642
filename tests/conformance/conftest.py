"""Expected failures by target and test, from a table that must stay true.

An entry for a target or a test that is not there aborts the collection; a test that passes against
its entry fails.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from expected import Expectation, check, read

from crossgrade.testing import TargetConformance

TABLE = Path(__file__).with_name("expectations.toml")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [i for i in items if isinstance(i, pytest.Function) and _suite(i.cls)]
    shipped = [i for i in ours if i.path.name == "test_targets.py"]
    if not shipped:
        return
    # Every class of the module, so that a run of one test alone is checked in the same way.
    classes = [c for c in vars(shipped[0].module).values() if _suite(c)]
    try:
        expectations = read(TABLE)
        check(expectations, classes)
    except ValueError as error:
        raise pytest.UsageError(f"{TABLE.name}: {error}") from error
    for item in shipped:
        _mark(item, expectations)


def _suite(cls: object) -> bool:
    return (
        isinstance(cls, type)
        and issubclass(cls, TargetConformance)
        and cls is not TargetConformance
    )


def _mark(item: pytest.Function, expectations: list[Expectation]) -> None:
    for e in expectations:
        if (e.target, e.test) == (item.cls.spec, item.name):
            item.add_marker(pytest.mark.xfail(reason=f"{e.kind}: {e.reason}", strict=True))
