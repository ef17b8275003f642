"""The records that stand behind published figures hold together."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossgrade.api import verify_records

KEPT = sorted((Path(__file__).parents[3] / "benchmarks" / "records").glob("*.json"))


def test_there_are_some():
    assert len(KEPT) >= 2


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_a_kept_record_is_sound(path):
    (found,) = verify_records([path])
    assert found.state == "sound", found.faults
