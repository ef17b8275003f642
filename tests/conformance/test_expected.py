"""The table of expected failures refuses what is no longer so."""

import pytest
from expected import Expectation, check, read

from crossgrade.testing import TargetConformance


class Suite(TargetConformance):
    spec = "mine"


def _entry(**changes):
    row = {"target": "mine", "test": "test_nothing_leaks", "kind": "never", "reason": "why"}
    return Expectation(**(row | changes))


@pytest.mark.parametrize(
    "test",
    [
        "test_nothing_leaks",
        "test_it_tells_the_work[gemm-float32]",
        "test_bad_sizes_are_a_result[negative]",
    ],
)
def test_entries_that_are_there_pass(test):
    check([_entry(test=test)], [Suite])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target": "yours"}, "no target `yours`"),
        ({"test": "test_gone"}, "no test `test_gone`"),
        ({"test": "spec"}, "no test `spec`"),
        ({"test": "test_it_tells_the_work[conv-float32]"}, "no test"),
        ({"test": "test_it_tells_the_work"}, "no test"),
        ({"test": "test_nothing_leaks[gemm-float32]"}, "no test"),
    ],
)
def test_stale_entries_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        check([_entry(**changes)], [Suite])


def test_an_entry_stands_once():
    with pytest.raises(ValueError, match="twice"):
        check([_entry(), _entry()], [Suite])


@pytest.mark.parametrize(
    "row",
    ['target = "a"', 'target = "a"\ntest = "b"\nkind = "maybe"\nreason = "c"'],
)
def test_entries_are_well_formed(tmp_path, row):
    path = tmp_path / "table.toml"
    path.write_text(f"[[expectation]]\n{row}\n")
    with pytest.raises(ValueError, match="not an expectation"):
        read(path)
