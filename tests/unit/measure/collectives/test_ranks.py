"""Who is blamed when ranks of a group end badly, whoever is heard first."""

from __future__ import annotations

import pytest

from crossgrade.jobs.ending import Ended
from crossgrade.measure.collectives.ranks import RankProcesses, _Said

LOST = Ended(kind="failed", detail="connection closed by peer")
OWN = Ended(kind="failed", detail="the device is in a bad mood")


def blamed(*said: _Said) -> tuple[int | None, str]:
    """Return the rank that is blamed and its words, given what is heard, in order."""
    group = RankProcesses([], nursery=None, timeout_s=60.0)
    for one in said:
        list(group._take(lambda one=one: one))
    end = group._blamed()
    return end.rank, end.ended.detail


def failed(rank: int, at_ns: float) -> _Said:
    return _Said(rank, {"failed": {"waited_s": 0.1, "at_ns": at_ns}}, None)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_first_to_fail_is_blamed_in_any_order_of_news(order: tuple[int, int]) -> None:
    news = {0: [failed(0, 100.0), _Said(0, None, OWN)], 1: [failed(1, 200.0), _Said(1, None, LOST)]}
    assert blamed(*news[order[0]], *news[order[1]]) == (0, OWN.detail)


def test_one_that_failed_outside_of_collectives_waited_for_nobody() -> None:
    assert blamed(failed(1, 1.0), _Said(1, None, LOST), _Said(0, None, OWN)) == (0, OWN.detail)


def test_one_that_died_is_blamed_before_any_that_failed() -> None:
    died = Ended(kind="crashed", detail="SIGKILL")
    assert blamed(failed(0, 1.0), _Said(0, None, LOST), _Said(1, None, died))[0] == 1
