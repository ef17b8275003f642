"""The samples of an old measurement, played back as if they were taken now.

Reads the file itself, because records are a room above, and plays it as it is: whether it is as it
was written is not asked. Must not know what a record's verdict means, nor how it was worked out.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossgrade.errors import BadRecord
from crossgrade.targets.protocol import Opening
from crossgrade.targets.simulated.work import duration_ns
from crossgrade.values.operator_case import CannotRun, OperatorCase

Calls = Mapping[str, tuple[float, ...]]
"""Key of a case -> time of a call in each block of one session, ns, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The samples of a measurement."""

    sessions: tuple[Calls, ...]
    """Per session, in order."""


class ReplayDurations:
    """Times of one session, in order and from the start again where they run out."""

    __slots__ = ("_calls",)

    def __init__(self, recording: Recording, opening: Opening) -> None:
        """Take the session that is opened; after the last comes the first.

        An audit gets the medians of the first: samples that come again and again in the same order
        would look like a timer that treats one name better than another.
        """
        calls = recording.sessions[max(opening.session, 0) % len(recording.sessions)]
        if opening.session < 0:
            calls = {key: (statistics.median(spans),) for key, spans in calls.items()}
        self._calls = calls

    def of(self, case: OperatorCase) -> Callable[[], float]:
        """Return what gives the time of a call in the next block of the case, ns."""
        if calls := self._calls.get(case.key):
            return itertools.cycle(calls).__next__
        if case.op == "add" and set(case.arguments.values()) == {1}:
            empty = duration_ns(case)  # the empty operator of the timer audit is in no record
            return lambda: empty
        raise CannotRun("unsupported-operator", f"the record has no samples of {case.title}")


def read_recording(path: Path, variant: str = "") -> Recording:
    """Return the samples in a record of a measurement.

    Of variants that share a case the first one counts, unless `variant` names one; the anchor is
    always there.

    Raises:
        BadRecord: the file cannot be read or holds no measurement.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))["data"]
        keys = _keys(data["plan"], variant)
        sessions = tuple(_calls(session, keys) for session in data["sessions"])
    except OSError as error:
        raise BadRecord(
            f"'{path}' cannot be read: {error.strerror}", hint="check the path"
        ) from error
    except (
        ValueError, KeyError, IndexError, TypeError, AttributeError, ArithmeticError,
        RecursionError,
    ) as error:  # fmt: skip
        raise BadRecord(
            f"'{path}' is not a record of a measurement: {type(error).__name__}: {error}",
            hint="give the file that `bench` wrote",
        ) from error
    if not any(sessions):
        raise BadRecord(f"'{path}' has no samples", hint="give a record with a number in it")
    return Recording(sessions=tuple(filter(None, sessions)))


def _keys(plan: Mapping[str, Any], variant: str) -> Sequence[str | None]:
    """Return the key of each variant's case, the anchor last; None: it is not to be played."""
    names = [row["name"] for row in plan["variants"]]
    if variant and variant not in names:
        raise KeyError(f"no variant is called {variant}, only {', '.join(names)}")
    keys: list[str | None] = []
    for row in plan["variants"]:
        key = _key(row["case"])
        wanted = row["name"] == variant if variant else key not in keys
        keys.append(key if wanted else None)
    anchor = _key(plan["anchor"])
    return [*keys, None if anchor in keys else anchor]


def _key(case: Mapping[str, Any]) -> str:
    return OperatorCase(
        op=case["op"], dtype=case["dtype"], arguments=dict(case["arguments"]), seed=case["seed"]
    ).key


def _calls(session: Mapping[str, Any], keys: Sequence[str | None]) -> Calls:
    """Return the time of a call in each block that counts, by case."""
    calls: dict[str, list[float]] = {}
    counts = session["counts"]
    censored = {block for block, _ in session["censored"]}
    blocks = zip(session["order"], session["spans_ns"], strict=True)
    for block, (index, span) in enumerate(blocks):
        key = keys[index]
        if key is not None and block not in censored:
            calls.setdefault(key, []).append(float(span) / counts[index])
    return {key: tuple(spans) for key, spans in calls.items()}
