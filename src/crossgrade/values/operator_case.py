"""One operator with sizes, format and seed: what `bench op` times.

Must not know how a case is built or run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

AbsentReason = Literal[
    "unknown-operator", "unsupported-operator", "unsupported-format", "bad-arguments",
    "needs-devices", "out-of-memory", "too-large", "too-short", "over-budget", "no-timer",
    "bad-output", "inaccurate", "error", "crashed", "timed-out", "target-absent", "no-samples",
]  # fmt: skip
"""Why a case has no number; a closed list.

unknown-operator: the catalogue has no such name. unsupported-operator: the target cannot run it.
unsupported-format: the target cannot run it in that dtype. bad-arguments: sizes are missing or do
not fit each other. needs-devices: it takes more devices than there are. out-of-memory: the
allocation failed. too-large: its buffers exceed the memory that may be used, so it was not tried.
too-short: with cold caches a block is one call, and it is shorter than the timer's own cost.
over-budget: one call takes so long that five sessions do not fit. no-timer: no timer passed the
audit. bad-output: the output has NaN where the operator gives none. inaccurate: its output is
further from the trusted run's than its format explains, so its time is of no use. error: it raised.
crashed: its process died. timed-out: it gave no sign for longer than its limit.
target-absent: the target is not here. no-samples: it ran, and no sample of it counts.
"""


class CannotRun(Exception):
    """A case cannot be built or run; a result, not a failure of the program."""

    def __init__(self, reason: AbsentReason, detail: str) -> None:
        """Keep the reason from the closed list and what happened."""
        super().__init__(f"{reason}: {detail}")
        self.reason: AbsentReason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCase:
    """One operator case."""

    op: str
    """Name in the operator catalogue, such as `gemm`, or an overload, such as `aten.mm.default`."""
    dtype: str
    """Format of its main input, torch's name, such as `bfloat16`."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Sizes (elements) and choices by name; JSON values."""
    seed: int = 0
    """Seed of its random inputs."""
    calls: int = 1
    """How often the model that it was taken from calls it; 1 where it comes from no model."""
    source: str = ""
    """Where it comes from: file and place in it; empty: the command line."""

    @property
    def key(self) -> str:
        """Return what makes two cases one, such as `gemm-1f3a9c02d4`; calls and source aside."""
        body = json.dumps([self.op, self.dtype, self.arguments, self.seed], sort_keys=True)
        name = "".join(c if c.isalnum() or c in "_." else "_" for c in self.op)
        return f"{name}-{hashlib.sha256(body.encode()).hexdigest()[:10]}"

    @property
    def title(self) -> str:
        """Return it for a person, such as `gemm bfloat16 M=64 K=4096 N=4096`.

        Of an overload of a captured model the shapes of its inputs: `aten.mm.default bfloat16
        [1,1024] [1024,3072]`.
        """
        inputs = self.arguments.get("inputs")
        if isinstance(inputs, (list, tuple)) and "call" in self.arguments:
            sizes = " ".join(_shape(row) for row in inputs)
        else:
            sizes = " ".join(f"{k}={_short(v)}" for k, v in self.arguments.items())
        return " ".join(filter(None, (self.op, self.dtype, sizes)))


def _shape(row: Any) -> str:
    shape = row.get("shape") if isinstance(row, Mapping) else None
    return _short(shape if shape is not None else "?")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return text if len(text) <= 40 else f"{text[:37]}..."
