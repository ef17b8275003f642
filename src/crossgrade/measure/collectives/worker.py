"""What the processes of a group call; generators of JSON.

Must not know who listens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crossgrade.errors import CrossgradeError
from crossgrade.measure.collectives.events import Looked, RankRequest
from crossgrade.measure.collectives.member import session
from crossgrade.measure.events import Refused
from crossgrade.measure.workers import event_json
from crossgrade.records.typed import from_json


def look_job(target: str, ranks: int, dtype: str) -> Iterator[Any]:
    """Yield what ranks can be had here, or why none."""
    from crossgrade.targets.process_group import group_backend, group_devices, torch_dtype

    try:
        devices = group_devices(target, ranks)
        backend = group_backend(target)
        torch_dtype(dtype)
        yield event_json(Looked(devices=devices, backend=backend, forkable=devices[0] == "cpu"))
    except CrossgradeError as error:
        yield event_json(
            Refused(
                error=type(error).__name__,
                message=error.message,
                where=error.where,
                hint=error.hint,
            )
        )


def rank_job(request: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what one rank tells in one session."""
    from crossgrade.targets.process_group import join

    asked = from_json(RankRequest, request)
    plan = asked.plan
    yield {"joining": True}
    group = join(asked.device, asked.rank, plan.ranks, Path(asked.folder), plan.timeout_s)
    yield {"rank": {"rank": asked.rank, "device": asked.device, "facts": dict(group.facts())}}
    yield from session(group, asked)
