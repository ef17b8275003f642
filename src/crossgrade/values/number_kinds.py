"""How each plain number of an assessment is known; bands and claims say it themselves.

A renderer of a document asks `kind_of` with the path of a number, such as
`chips[].phases[].memory.kv`. Must not know values.
"""

from __future__ import annotations

from dataclasses import dataclass

from crossgrade.values.evidence import NumberClass


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberKind:
    """How the numbers under one path are known."""

    path: str
    """Keys joined by dots, `[]` for every entry of a list; numbers below it are meant too."""
    kind: NumberClass
    """Class."""
    how: str
    """What they follow from."""


def _kind(path: str, kind: NumberClass, how: str) -> NumberKind:
    return NumberKind(path=path, kind=kind, how=how)


_PHASE = "chips[].phases[]"
_SHAPES = "shapes of the capture and the format of the checkpoint"
_LOWERED = "kernels of a fusing stack, lowered from the capture"
_PRICED = "data-sheet constants and the assumptions of this document, on the capture"
NUMBER_KINDS: tuple[NumberKind, ...] = (
    _kind("parameters", "exact", "shapes of the module, tied parameters once"),
    _kind("assumptions", "assumed", "the source of each row says what it rests on"),
    _kind("chips[].constants", "claimed", "the source of each row; `cpu` is probed, not claimed"),
    _kind("chips[].least_chips", "predicted", "the largest need of the phases"),
    *(
        _kind(f"{_PHASE}.{name}", "exact", "the workload as resolved")
        for name in ("batch", "tokens", "context", "layout", "sizes")
    ),
    *(
        _kind(f"{_PHASE}.{name}", "exact", "counted in the capture")
        for name in ("calls", "distinct_calls", "flops")
    ),
    *(
        _kind(f"{_PHASE}.memory.{name}", "exact", _SHAPES)
        for name in ("weights", "kv", "gradients", "optimizer", "by_format")
    ),
    *(
        _kind(f"{_PHASE}.memory.{name}", "exact", f"{_SHAPES}, lifetimes of eager execution")
        for name in ("activations_eager", "peak_eager")
    ),
    *(
        _kind(f"{_PHASE}.memory.{name}", "predicted", _LOWERED)
        for name in ("activations_fused", "converted", "peak_fused", "peak_per_chip", "least_chips")
    ),
    _kind(f"{_PHASE}.memory.least_chips_eager", "predicted", "eager peak over usable memory"),
    _kind(f"{_PHASE}.memory.usable_per_chip", "assumed", "capacity times `usable_memory`"),
    _kind(f"{_PHASE}.speed", "predicted", _PRICED),
    *(
        _kind(f"{_PHASE}.{rows}[].{name}", "exact", "counted in the capture")
        for rows, names in (
            ("levels", ("operators", "calls")),
            ("operators", ("calls", "call_share", "inner", "host_syncs")),
            (
                "findings",
                ("calls", "call_share", "data.calls", "data.host_syncs", "data.inner_calls"),
            ),
        )
        for name in names
    ),
    *(
        _kind(f"{_PHASE}.{rows}[].time_share", "predicted", f"{_PRICED}, call by call")
        for rows in ("levels", "operators", "findings")
    ),
    _kind(f"{_PHASE}.findings[].data", "predicted", f"{_LOWERED}, or {_PRICED}"),
    _kind(f"{_PHASE}.claims[].claim", "claimed", "the source of the claim"),
    _kind(f"{_PHASE}.claims[].predicted", "predicted", _PRICED),
)
"""Every number of an assessment is under one of these paths; a test holds it complete."""


def kind_of(path: str) -> NumberKind | None:
    """Return how the numbers at a path are known: the longest entry that covers it."""
    covering = [
        k for k in NUMBER_KINDS
        if path == k.path or path.startswith((k.path + ".", k.path + "["))
    ]  # fmt: skip
    return max(covering, key=lambda k: len(k.path), default=None)
