"""How each plain number of an assessment is known; bands and claims say it themselves.

A renderer of a document asks `kind_of` with the path of a number, such as
`chips[].phases[].memory.kv`. Must not know values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from crossgrade.values.evidence import NumberClass

Origin = Literal["capture", "options", "constants", "assumptions", "operator-table", "own-source"]
"""What a number rests on.

capture
    the captured calls: `capture_digest` names them, `environment` the versions that shaped them.
options
    what the user asked for, or its defaults.
constants
    the constants of the chip, each with the address of a document.
assumptions
    the assumed rates, each with its reason.
operator-table
    rows of the chip's operator table; each operator cites its own.
own-source
    the entry that holds the number also names its source.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberKind:
    """How the numbers under one path are known."""

    path: str
    """Keys joined by dots, `[]` for every entry of a list; numbers below it are meant too."""
    kind: NumberClass
    """Class."""
    how: str
    """What they follow from."""
    rests_on: tuple[Origin, ...]
    """Where a reader finds that."""


def _kinds(
    prefix: str, names: str, kind: NumberClass, how: str, *rests_on: Origin
) -> tuple[NumberKind, ...]:
    """Return one entry per name, a list of names with spaces between them."""
    return tuple(
        NumberKind(path=f"{prefix}{name}", kind=kind, how=how, rests_on=rests_on)
        for name in names.split()
    )


_PHASE = "chips[].phases[]."
_SHAPES = "shapes of the capture and the format of the checkpoint"
_EAGER = f"{_SHAPES}, lifetimes of eager execution"
_LOWERED = "kernels of a fusing stack, lowered from the capture"
_PRICED = "data-sheet constants and the assumptions of this document, on the capture"
_COUNTED = "counted in the capture"
NUMBER_KINDS: tuple[NumberKind, ...] = (
    *_kinds("", "parameters", "exact", "shapes of the module, tied parameters once", "capture"),
    *_kinds("", "assumptions", "assumed", "the source of each row says what it rests on",
            "own-source"),
    *_kinds("", "timelines", "exact", _EAGER, "capture"),
    *_kinds("", "explanations", "predicted", f"{_PRICED}, priced again for every lever", "capture",
            "constants", "assumptions"),
    *_kinds("", "explanations[].levers[].fused.now explanations[].levers[].eager.now", "claimed",
            "`kind` of the lever says which are assumed or measured here", "constants",
            "assumptions"),
    *_kinds("", "explanations[].chips explanations[].levers[].step", "exact",
            "the layout, and the size of a step", "options"),
    *_kinds("", "chips[].constants chips[].disagreements", "claimed",
            "the source of each row; `kind` says which are measured here", "own-source"),
    *_kinds("", "chips[].least_chips", "predicted", "the largest need of the phases",
            "capture", "constants", "assumptions"),
    *_kinds(_PHASE, "batch tokens context layout sizes", "exact", "the workload as resolved",
            "options"),
    *_kinds(_PHASE, "calls distinct_calls flops", "exact", _COUNTED, "capture"),
    *_kinds(_PHASE, "memory.weights memory.kv memory.gradients memory.optimizer memory.by_format",
            "exact", _SHAPES, "capture"),
    *_kinds(_PHASE, "memory.activations_eager memory.peak_eager", "exact", _EAGER, "capture"),
    *_kinds(_PHASE, "memory.activations_fused memory.converted memory.peak_fused", "predicted",
            _LOWERED, "capture"),
    *_kinds(_PHASE, "memory.peak_per_chip", "predicted", f"{_LOWERED}, shared as `layout` says",
            "capture", "options"),
    *_kinds(_PHASE, "memory.least_chips", "predicted", "fused peak over usable memory",
            "capture", "constants", "assumptions"),
    *_kinds(_PHASE, "memory.least_chips_eager", "predicted", "eager peak over usable memory",
            "capture", "constants", "assumptions"),
    *_kinds(_PHASE, "memory.usable_per_chip", "assumed", "capacity times `usable_memory`",
            "constants", "assumptions"),
    *_kinds(_PHASE, "speed", "predicted", _PRICED, "capture", "constants", "assumptions"),
    *_kinds(_PHASE, "speed.price_per_hour", "exact", "the price as given", "options"),
    *_kinds(_PHASE, "stack", "predicted", "kernel models on the launches of the stack; `basis` "
            "says what each rests on", "capture", "constants", "own-source"),
    *_kinds(_PHASE, "stack.launches stack.parts[].launches", "predicted",
            "launches of the stack, lowered from the capture", "capture"),
    *_kinds(_PHASE, "rank", "predicted", f"{_LOWERED}, divided as `layout` says", "capture",
            "options"),
    *_kinds(_PHASE, "step", "predicted", "kernel and collective models on the launches of the "
            "stack, divided as `layout` and `step.plan` say", "capture", "constants", "options",
            "own-source"),
    *_kinds(_PHASE, "step.plan step.micro_batches", "exact", "the options as resolved", "options"),
    *_kinds(_PHASE, "levels[].operators levels[].calls operators[].calls operators[].call_share",
            "exact", _COUNTED, "capture", "operator-table"),
    *_kinds(_PHASE, "operators[].inner operators[].host_syncs", "exact",
            "counted in the capture: what the composite kernel called", "capture",
            "operator-table"),
    *_kinds(_PHASE, "findings[].calls findings[].call_share findings[].data.calls "
            "findings[].data.host_syncs findings[].data.inner_calls", "exact", _COUNTED, "capture"),
    *_kinds(_PHASE, "levels[].time_share operators[].time_share findings[].time_share",
            "predicted", f"{_PRICED}, call by call", "capture", "constants", "assumptions"),
    *_kinds(_PHASE, "findings[].data", "predicted", f"{_LOWERED}, or {_PRICED}", "capture",
            "constants", "assumptions"),
    *_kinds(_PHASE, "claims[].claim", "claimed", "the source of the claim", "own-source"),
    *_kinds(_PHASE, "claims[].predicted", "predicted", _PRICED, "capture", "constants",
            "assumptions"),
)  # fmt: skip
"""Every number of an assessment is under one of these paths; a test holds it complete."""


def kind_of(path: str) -> NumberKind | None:
    """Return how the numbers at a path are known: the longest entry that covers it."""
    covering = [
        k for k in NUMBER_KINDS
        if path == k.path or path.startswith((k.path + ".", k.path + "["))
    ]  # fmt: skip
    return max(covering, key=lambda k: len(k.path), default=None)
