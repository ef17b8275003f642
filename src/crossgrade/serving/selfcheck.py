"""Whether the client, and not the endpoint, was the limit. Must not know verdicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from crossgrade.serving.columns import Columns, latencies_s
from crossgrade.serving.rates import requests_per_s
from crossgrade.units import figure, percent, things
from crossgrade.values.serving import OWN_LIMIT, ClientCheck, Load

HEADROOM: Final = 5.0
"""Times the rate of the load that the client has to reach with a server that answers at once: then
its own work is at most a fifth of the time between requests."""
LATE_SHARE: Final = 0.05
"""How late 95 % of the requests may be sent, as a share of the median TTFT, which contains it."""


def client_check(load: Load, sessions: Sequence[Columns]) -> ClientCheck:
    """Return whether the client may have been the limit of a load."""
    headroom, late = _headroom(sessions), _late_share(load, sessions)
    answered = any(s.answered.any() for s in sessions)
    capped = load.concurrency is not None  # then requests wait in the client, as was asked
    reached = "" if headroom is None else f"{figure(headroom)} times the rate of the load"
    if own := sum(d.startswith(OWN_LIMIT) for s in sessions for d in s.raw.details):
        bound, why = True, f"{things(own, 'request')} met {OWN_LIMIT}"
    elif answered and headroom is None:
        bound, why = True, "the self-check of the client failed, so nothing says that it kept up"
    elif headroom is not None and headroom < HEADROOM:
        bound = True
        why = (f"with a server that answers at once the client reaches only {reached}; "
               f"{HEADROOM:g} are wanted")  # fmt: skip
    elif late is not None and late > LATE_SHARE and not capped:
        bound = True
        why = (f"1 request in 20 was sent late by {percent(late)} of the median TTFT or more; "
               f"{percent(LATE_SHARE)} are allowed")  # fmt: skip
    else:
        bound, why = False, f"it reaches {reached}" if reached else "nothing was answered"
    return ClientCheck(bound=bound, headroom=headroom, late_share=late, why=why)


def _headroom(sessions: Sequence[Columns]) -> float | None:
    """Return the least rate of the self-check over that of the load, of sessions that have both."""
    found = [s.null_per_s / rate for s in sessions
             if s.null_per_s is not None and (rate := requests_per_s(s))]  # fmt: skip
    return min(found, default=None)


def _late_share(load: Load, sessions: Sequence[Columns]) -> float | None:
    """Return the 95th percentile of how late requests were sent over the median TTFT."""
    if load.kind == "closed-loop" or not any(s.tried.any() for s in sessions):
        return None
    late = np.concatenate([(s.sent_s - s.start_s)[s.tried] for s in sessions])
    median = float(np.median(np.concatenate([latencies_s(s, "ttft") for s in sessions])))
    if not math.isfinite(median) or median <= 0:
        return None
    return max(0.0, float(np.quantile(late, 0.95))) / median
