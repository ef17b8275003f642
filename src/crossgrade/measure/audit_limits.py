"""What the timer audit asks for: every number of it, each with its reason. Must not know timers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

BLOCK_NS: Final = 2e6
"""Block on which a timer is tried, ns: the shortest that is timed later by device events, so
that a fault is judged where it would do harm."""
RESOLUTION_STEPS: Final = 1000
"""Steps that a block must hold: one step is then 0.1 % of it, a tenth of the usual half width."""
SAME_STEP_NS: Final = 0.1
"""Spans that differ by less are the same, ns: rounding of floats, as no clock ticks so fast."""
RAMP_CALLS: Final = 8
"""Empty blocks of 1 to 8 calls are timed to see small steps on a device without noise."""
RAMP_REPEATS: Final = 3
"""How often each; the median of so few is not needed, only how they differ."""
CLOCK_READINGS: Final = 1000
"""Readings of the host's clock in which its step is looked for."""

WORK_SPANS: Final = 200
"""Spans that must be finite and positive: a fault in one of 70 spans is seen with 95 %."""
LEAST_WORK_SPANS: Final = 20
"""Fewer are not tried, however slow the anchor kernel is."""
WORK_NS: Final = 2e5
"""Least work in each of them, ns: the length from which events are said to be good."""

LINEAR_LOW: Final = 1.97
LINEAR_HIGH: Final = 2.03
"""Twice the work may take that many times the time: 1.5 % off, or 3 % of a block that is fixed."""
OVERHEAD_BLOCKS: Final = 20
"""A block holds the fixed cost of a wall timer that many times, as it does when it is timed."""
Statistic = Literal["median of ratios", "lower quartiles", "minima"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearTry:
    """One try of the check `linear`."""

    statistic: Statistic
    """How spans become a ratio; each bears more of what other processes add than the one before."""
    quads: int
    """Groups of spans n, 2n, 2n, n."""
    wall_ns: float
    """Block n of a wall timer, ns. Where processor time is shared, a block that is longer than a
    slice of it is hardly ever left alone; the host's clock is as exact for a short one."""


LINEAR_TRIES: Final = (
    LinearTry(statistic="median of ratios", quads=12, wall_ns=BLOCK_NS),
    LinearTry(statistic="lower quartiles", quads=24, wall_ns=BLOCK_NS),
    LinearTry(statistic="minima", quads=48, wall_ns=BLOCK_NS / 4),
    LinearTry(statistic="minima", quads=96, wall_ns=BLOCK_NS / 8),
)
"""All find the same for a timer that is wrong. With 2 % of noise in a block the median of 12
is good to 0.7 %."""

AGREES_BLOCK_NS: Final = 20e6
"""Block on which a timer and the host's clock are compared, ns: launch and read vanish in it."""
AGREES_OVERHEADS: Final = 100
"""It holds the cost of waiting and reading that many times, where that is more."""
AGREES_SHARE: Final = 0.03
"""They may differ by that share."""
AGREES_REPEATS: Final = 6
"""An even number, so that two kinds of blocks that take turns count alike."""

SYNCHRONIZES_SHARE: Final = 0.02
"""A read after the span may cost that share of it over a read on an idle device: what it costs
more is work that had not ended."""
REPEATS: Final = 12
"""Repeats of short blocks whose lower quartile counts; three of twelve lie below it."""

LEAK_CALLS: Final = 0.1
"""Share of one call of the heavy kernel that may stand in an empty span after it."""
LEAK_FLOOR_NS: Final = 5e3
"""Excess that is always allowed, ns: caches and branch predictors differ by that much."""

EXPERIMENTS: Final = 20
PAIRS: Final = 8
"""A/A experiments, and pairs in each."""
LEAST_PAIRS: Final = 4
"""Pairs where time is short."""
A_A_NS: Final = 5e5
"""Least length of a block in them, ns: 320 blocks have to fit the limit."""
A_A_LEAST: Final = 1e-3
"""A difference below 0.1 % is none: without noise the rounding of the clock gives one."""
POSITIVES: Final = 6
"""Of 20 experiments that many may not be positive. At the 5 % that is meant, 6 or more come up in
0.03 % of all audits; at 10 %, which is still bearable, in 1.1 %; at 50 % in 98 %."""

TRIES: Final = 3
"""Tries of a check that noise can spoil. A timer that is wrong is wrong in all of them."""
PATIENCE: Final = 3.0
"""Checks are tried again until a timer has taken that many times its share of the limit: on a busy
host an honest timer needs the later tries."""
SHARES: Final = {"work": 0.15, "linear": 0.15, "agrees": 0.15, "repeats": 0.1, "a-a": 0.35}
"""Share of a timer's time that goes into one try of each part."""
EMPTY_CASE_SIZES: Final = {"batch_size": 1, "dim_size": 1}
"""The `add` that stands for an empty operator: every target has it."""
