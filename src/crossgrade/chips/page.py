"""One chip as rows of evidence: constants, what disagrees, what is unknown.

Must not know how it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator

from crossgrade.chips.validate import constants
from crossgrade.values.catalog import ChipPage, ConstantRow, DisagreementRow
from crossgrade.values.chip import Chip


def chip_page(chip: Chip, *, passed: str, via_alias: str | None, file: str | None) -> ChipPage:
    """Return what is known of `chip`, and what is not.

    Args:
        chip: the description.
        passed: how the user named it.
        via_alias: the alias that matched, None for the name.
        file: where the description lies, None where it was probed.
    """
    return ChipPage(
        passed=passed,
        chip=chip,
        via_alias=via_alias,
        file=file,
        constants=tuple(_constants(chip)),
        disagreements=tuple(_disagreements(chip)),
        total_processing_performance=chip.total_processing_performance,
        unknown=tuple(_unknown(chip)),
    )


def _constants(chip: Chip) -> Iterator[ConstantRow]:
    joins = {f"links[{link.level}: {link.name}]": link.domain for link in chip.links}
    for key, constant in constants(chip):
        source = chip.source(constant.source)
        yield ConstantRow(
            constant=key,
            value=constant.value,
            unit=constant.unit,
            scope=constant.scope,
            kind=source.kind,
            source=source,
            note=_with_domain(constant.note, joins.get(key)),
        )


def _with_domain(note: str, domain: int | None) -> str:
    """Return the note of a link with the number of chips that it joins."""
    if domain is None:
        return note
    return f"joins {domain}; {note}" if note else f"joins {domain}"


def _disagreements(chip: Chip) -> Iterator[DisagreementRow]:
    used = {key: constant.value for key, constant in constants(chip)}
    for entry in chip.disagreements:
        value = used[entry.constant]
        yield DisagreementRow(
            constant=entry.constant,
            used=value,
            other=entry.other.value,
            unit=entry.other.unit,
            percent=(entry.other.value / value - 1) * 100,
            source=chip.source(entry.other.source),
            note=entry.other.note,
        )


def _unknown(chip: Chip) -> Iterator[str]:
    """Yield what an assessment would use and the description does not have."""
    fields = {
        "memory_capacity": "memory capacity",
        "memory_bandwidth": "memory bandwidth",
        "power": "power",
        "cores": "number of cores",
        "clock": "clock",
        "available": "date of general availability",
    }
    for field, words in fields.items():
        if getattr(chip, field) is None:
            yield words
    for engine, precision in (("matrix", "bf16"), ("vector", "fp32")):
        if not any((p.engine, p.precision) == (engine, precision) for p in chip.peaks):
            yield f"{engine} rate in {precision}"
    if not chip.buffers:
        yield "caches and on-chip buffers"
    if chip.link("scale-up") is None:
        yield "link to other chips of the node"
    if chip.link("scale-out") is None:
        yield "network of the node"
