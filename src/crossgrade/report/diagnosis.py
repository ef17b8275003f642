"""A diagnosis as a document: what works, what is broken, what is absent. Must not find out."""

from __future__ import annotations

from collections.abc import Iterator

from crossgrade.report.document import Block, Document, Entry, Heading, Line, Table, Tone
from crossgrade.units import bytes_, seconds
from crossgrade.values.environment import (
    Diagnosis,
    FolderState,
    PackageState,
    RoomState,
    SensorState,
)

_MARK: dict[str, str] = {
    "works": "works",
    "needs": "does not work here",
    "broken": "BROKEN",
    "installed": "installed",
    "too-old": "too old",
}


def diagnosis_document(diagnosis: Diagnosis) -> Document:
    """Return the answer of `doctor`: the verdict, then what to act on, then all there is."""
    return Document(blocks=tuple(_blocks(diagnosis)))


def _blocks(diagnosis: Diagnosis) -> Iterator[Block]:
    broken = diagnosis.verdict == "broken"
    tone: Tone = "bad" if broken else "good"
    yield Heading(text=f"crossgrade {diagnosis.crossgrade}: {diagnosis.verdict}")
    yield Line(text=_summary(diagnosis), tone=tone)
    for package in diagnosis.packages:
        if package.status in ("broken", "too-old"):
            yield _trouble(package)
    yield Heading(text="rooms", level=2)
    yield _rooms_table(diagnosis.rooms)
    yield Heading(text="packages", level=2)
    yield _packages_table(diagnosis.packages)
    absent = [p for p in diagnosis.packages if p.status == "absent"]
    if absent:
        yield Heading(text="absent", level=2)
        yield Table(columns=("package", "for", "how to get it"),
                    rows=tuple((p.name, p.purpose, p.hint) for p in absent),
                    whole=frozenset({0}))  # fmt: skip
    yield Heading(text="machine and data", level=2)
    yield Table(columns=("what", "value"), rows=tuple(_facts(diagnosis)))
    yield Heading(text="energy", level=2)
    yield _energy_table(diagnosis.energy)


def _summary(diagnosis: Diagnosis) -> str:
    """Return one line on what works."""
    working = [r.name for r in diagnosis.rooms if r.status == "works"]
    others = [r.name for r in diagnosis.rooms if r.status != "works"]
    tail = f"; not here: {', '.join(others)}" if others else ""
    return f"{len(working)} of {len(diagnosis.rooms)} rooms work{tail}"


def _trouble(package: PackageState) -> Entry:
    if package.status == "too-old":
        text = f"{package.name} {package.version} is too old"
        return Entry(text=text, details=(f"hint: {package.hint}",), tone="warning")
    text = f"{package.name} {package.version} is installed and broken"
    details = (package.error, f"hint: {package.hint}")
    return Entry(text=text, details=details, tone="bad")


def _rooms_table(rooms: tuple[RoomState, ...]) -> Table:
    return Table(
        columns=("room", "state", "for", "why not"),
        rows=tuple((r.name, _MARK[r.status], r.does, r.why) for r in rooms),
        whole=frozenset({0, 1}),
    )


def _packages_table(packages: tuple[PackageState, ...]) -> Table:
    present = [p for p in packages if p.status != "absent"]
    return Table(
        columns=("package", "state", "version", "import, measured", "says of itself"),
        rows=tuple(
            (
                p.name,
                _MARK[p.status],
                p.version or "unknown",
                "" if p.import_s is None else seconds(p.import_s),
                ", ".join(f"{name}: {value}" for name, value in p.facts.items()),
            )
            for p in present
        ),
        right=frozenset({3}),
        whole=frozenset({0, 1}),
    )


def _energy_table(states: tuple[SensorState, ...]) -> Table:
    return Table(
        columns=("device", "sensor", "gives", "of", "why none"),
        rows=tuple((s.device, s.sensor or "none", s.kind or "", s.scope, _why(s)) for s in states),
        whole=frozenset({0}),
    )


def _why(state: SensorState) -> str:
    return f"{state.reason}: {state.detail}" if state.reason else ""


def _facts(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    machine = diagnosis.machine
    yield "Python", diagnosis.python
    yield "crossgrade from", diagnosis.location
    yield "system", f"{machine.system}, {machine.machine}"
    yield "processor", f"{machine.cpu or 'unknown'}, {machine.threads} threads for this process"
    memory = machine.memory_bytes
    yield "memory", "unknown" if memory is None else f"{bytes_(memory)} for this process"
    yield "chips", "unreadable" if diagnosis.chips is None else str(diagnosis.chips)
    yield "operator tables", ", ".join(diagnosis.operator_tables) or "unreadable"
    for folder in diagnosis.folders:
        yield folder.purpose, _folder(folder)


def _folder(folder: FolderState) -> str:
    free = "unknown" if folder.free_bytes is None else bytes_(folder.free_bytes)
    there = "exists" if folder.exists else "not made yet"
    writable = "writable" if folder.writable else "NOT writable"
    return f"{folder.path}: {there}, {writable}, {free} free"
