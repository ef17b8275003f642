"""What is alive in memory over one eager execution, moment by moment.

Must not know chips, nor how a capture was made.
"""

from __future__ import annotations

import itertools

import numpy as np

from crossgrade.predict.memory import MemoryNeed, live_bytes
from crossgrade.values.breakdown import MemoryTimeline
from crossgrade.values.capture import ROLES, Capture

MOMENTS = 96


def memory_timeline(capture: Capture, memory: MemoryNeed) -> MemoryTimeline:
    """Return bytes alive over one eager execution at up to 96 moments.

    Of the calls between two moments the one with the most alive is kept, so the peak is there.
    """
    c = capture.columns
    accel = c["storage_device"] == capture.tables["devices"].index("accel")
    fixed = np.isin(c["storage_role"], [ROLES.index(r) for r in ("parameter", "buffer",
                                                                 "optimizer")])  # fmt: skip
    kv, gradient = (accel & (c["storage_role"] == ROLES.index(r)) for r in ("kv", "gradient"))
    others = accel & ~fixed & ~kv & ~gradient
    stored = np.where(kv, c["storage_stored_bytes"], c["storage_bytes"])
    live = [live_bytes(capture, chosen, stored) for chosen in (kv, gradient, others)]
    total = live[0] + live[1] + live[2]
    edges = np.linspace(0, capture.calls, min(MOMENTS, capture.calls) + 1).astype(np.int64)
    at = [int(a + total[a:b].argmax()) for a, b in itertools.pairwise(edges) if b > a]
    return MemoryTimeline(
        phase=capture.workload.phase,
        calls=capture.calls,
        at=tuple(at),
        resident=memory.weights + memory.optimizer,
        kv=tuple(live[0][at].tolist()),
        gradients=tuple(live[1][at].tolist()),
        activations=tuple(live[2][at].tolist()),
    )
