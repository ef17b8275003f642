"""The arithmetic of numbers as a document. Must not know how a number is found out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crossgrade.report.document import Block, Document, Heading, Line, Table
from crossgrade.units import bytes_, figure, seconds, si
from crossgrade.values.assessment import Assessment, AssumptionFigure, ConstantFigure
from crossgrade.values.derivation import Derivation, Step

_PER = {"price": "price unit", "(s W)": "s and W"}
DEEPER = "· "
"""Stands before a part, once per level."""


def quantity(value: float, unit: str) -> str:
    """Return a value with its unit for a person."""
    if unit == "s":
        return seconds(value)
    if unit == "byte":
        return bytes_(value)
    if unit.startswith("1/"):
        return f"{figure(value)} per {_PER.get(unit[2:], unit[2:])}"
    return f"{value:,.4g}" if unit in ("", "1") else si(value, unit.replace("byte", "B"))


def derivation_document(assessment: Assessment, derivations: Sequence[Derivation]) -> Document:
    """Return the arithmetic of one number on every chip, with what it rests on."""
    return Document(blocks=tuple(_blocks(assessment, derivations)))


def _blocks(assessment: Assessment, derivations: Sequence[Derivation]) -> Iterator[Block]:
    assumptions = {a.name: a for a in assessment.assumptions}
    for derivation in derivations:
        chip = next(c for c in assessment.chips if c.chip == derivation.chip)
        constants = {c.name: c for c in chip.constants}
        yield Heading(
            level=2, text=f"{derivation.number} of {assessment.model.name} on {chip.chip}"
        )
        if not derivation.steps:
            yield Line(text="not known: see the findings of this chip", tone="quiet")
            continue
        yield Table(
            columns=("value", "how known", "arithmetic", "rests on"),
            rows=tuple(_step(step) for step in derivation.steps),
            right=frozenset({0}),
        )
        used = dict.fromkeys(n for step in derivation.steps for n in step.rests_on)
        rows = [
            _source(n, constants, assumptions) for n in used if n in {**constants, **assumptions}
        ]
        yield Table(title="what it rests on", columns=("name", "value", "how known", "source"),
                    rows=tuple(rows), right=frozenset({1}))  # fmt: skip


def _step(step: Step) -> tuple[str, ...]:
    return (
        quantity(step.value, step.unit),
        step.kind,
        DEEPER * step.depth + step.text,
        ", ".join(step.rests_on),
    )


def _source(
    name: str, constants: dict[str, ConstantFigure], assumptions: dict[str, AssumptionFigure]
) -> tuple[str, ...]:
    if name in constants:
        c = constants[name]
        note = f"; {c.note}" if c.note else ""
        source = f"{c.source}, {c.date}: {c.url}{note}"
        return name, quantity(c.value, c.unit), c.kind, source
    a = assumptions[name]
    ends = quantity(a.optimistic, a.unit)
    if a.pessimistic != a.optimistic:
        ends += f"; eager {quantity(a.pessimistic, a.unit)}"
    return name, ends, "assumed", f"{a.source} {a.url}".strip()
