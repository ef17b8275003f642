"""`bench comm`: collectives of a group of ranks on this machine, measured.

Wires plan, processes, journal and record together. Must not know how a number is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from crossgrade.api.benching import format_named
from crossgrade.api.comm_sizes import SIZES, sizes_of
from crossgrade.api.texts import Screen, json_text, screen_text
from crossgrade.errors import BadOption
from crossgrade.units import things
from crossgrade.values.bench import SessionStart
from crossgrade.values.collective import (
    MOST_RANKS,
    OPS,
    CollectiveOp,
    CommCell,
    CommPlan,
    CommResult,
    CommRun,
    whole_elements,
)
from crossgrade.values.precision import DTYPES

if TYPE_CHECKING:
    from crossgrade.api.bench_book import Book
    from crossgrade.values.record import Record

Narrate = Callable[[str], None]
_KINDS = ("float", "int")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommOptions:
    """What is to be measured, and how well."""

    on: str = "cpu"
    """Device type whose devices the ranks have."""
    ranks: int = 2
    """Ranks; each is a process."""
    ops: tuple[str, ...] = ()
    """Collectives; empty: all."""
    sizes: str = SIZES
    """Sizes as a user writes them; see `crossgrade.api.comm_sizes`."""
    dtype: str = "fp32"
    """Format of the elements; user's or torch's name."""
    budget_s: float = 60.0
    """Time for all of it, s."""
    half_width: float = 0.05
    """Wanted half width of the 95 % interval, as a share."""
    least_sessions: int = 5
    """Sessions without which nothing counts as measured; 5 or more."""
    timeout_s: float = 60.0
    """Longest time that a rank waits for the others, s."""
    start: SessionStart = "forked"
    """`fresh`: every rank in a new interpreter, though it could be forked."""
    seed: int = 0
    """Seed of contents and orders."""
    folder: Path | None = None
    """Where record and journal go."""

    def check(self) -> None:
        """Refuse what makes no sense; BadOption."""
        if ":" in self.on:
            raise BadOption(f"--on {self.on} names one device, and ranks take one each",
                            hint=f"--on {self.on.partition(':')[0]}")  # fmt: skip
        if self.ranks < 2:
            raise BadOption(f"--ranks {self.ranks}", hint="a group has 2 ranks or more")
        if self.ranks > MOST_RANKS:
            raise BadOption(f"--ranks {self.ranks}", hint=f"{MOST_RANKS} at most, on one machine")
        if not 0 < self.budget_s < 1e7:
            raise BadOption(f"--budget {self.budget_s:g}", hint="seconds above 0")
        if not 1e-4 <= self.half_width <= 0.5:
            raise BadOption(f"--half-width {self.half_width:g}", hint="a share from 0.0001 to 0.5")
        if self.least_sessions not in (5, 8, 12, 18, 27, 40):
            raise BadOption(f"--sessions {self.least_sessions}", hint="5, 8, 12, 18, 27 or 40")
        if not 1 <= self.timeout_s <= 3600:
            raise BadOption(f"--timeout {self.timeout_s:g}", hint="seconds from 1 to 3600")


def comm_plan(options: CommOptions) -> CommPlan:
    """Return the plan of options.

    Raises:
        BadOption: the options make no sense.
    """
    options.check()
    dtype = format_named(options.dtype)
    width = next((d.bytes for d in DTYPES if d.name == dtype and d.kind in _KINDS), None)
    if width is None:
        raise BadOption(f"--dtype {options.dtype}", hint="a format with whole bytes, such as bf16")
    cells = {
        cell.key: cell
        for op in _ops(options.ops)
        for size in sizes_of(options.sizes)
        for cell in (_cell(op, size, options.ranks, int(width)),)
    }
    return CommPlan(
        target=options.on,
        ranks=options.ranks,
        dtype=dtype,
        cells=tuple(cells.values()),
        half_width=options.half_width,
        least_sessions=options.least_sessions,
        budget_s=options.budget_s,
        warm_s=min(0.2, options.budget_s / 100),
        timeout_s=options.timeout_s,
        seed=options.seed,
        start=options.start,
    )


def _ops(names: Sequence[str]) -> tuple[CollectiveOp, ...]:
    """Return the collectives that names mean, xpu-perf's spelling too; all where none is named."""
    found = []
    for name in names:
        plain = name.replace("_", "-")
        if plain not in OPS:
            raise BadOption(f"no collective is called `{name}`", hint=", ".join(OPS))
        found.append(plain)
    return tuple(op for op in OPS if op in found) or OPS


def _cell(op: CollectiveOp, size: int, ranks: int, width: int) -> CommCell:
    elements = whole_elements(op, size, ranks, width)
    if not elements:
        raise BadOption(f"--sizes: {things(size, 'byte')} is too small for {op} over {ranks} ranks",
                        hint=f"{max(16, width) * ranks} bytes or more")  # fmt: skip
    return CommCell(op=op, elements=elements, size_bytes=elements * width)


def bench_comm(
    options: CommOptions, *, record: bool = True, narrate: Narrate = lambda text: None
) -> CommRun:
    """Return collectives measured, with an interval each, and write one record of all.

    Every session is kept as it comes; the same call takes an interrupted run up.

    Args:
        options: what and how well.
        record: whether a record and a journal are written.
        narrate: told what happens.

    Raises:
        BadOption: the options make no sense, or there are fewer devices than ranks.
        UnknownTarget: torch knows no such device type, or no groups of it.
        TargetAbsent: the device or the backend of its groups is not here.
        FolderInUse: another run is writing there.
    """
    from crossgrade.environment.fingerprint import fingerprint
    from crossgrade.measure.collectives.group import RankGroups
    from crossgrade.measure.collectives.run import run_comm

    plan = comm_plan(options)
    environment = fingerprint()
    with ExitStack() as stack:
        book = _book(options, plan, environment, stack) if record else None
        source = stack.enter_context(RankGroups())
        found = run_comm(plan, source, store=book, narrate=narrate)
        result = replace(found, notes=tuple(_notes(found, environment)))
        path = _written(result, book, options, environment) if book else ""
    return CommRun(
        result=result,
        record=path,
        folder=str(book.folder) if book else "",
        environment=environment,
        taken_up=book.taken_up if book else 0,
    )


def _book(
    options: CommOptions, plan: CommPlan, environment: Mapping[str, str], stack: ExitStack
) -> Book:
    from crossgrade.api.bench_book import Book
    from crossgrade.measure.collectives.group import comm_event_of

    book = Book.of(options.folder, [plan], environment, kind="comm", read=comm_event_of)
    stack.enter_context(book)
    book.open([plan])
    return book


def _written(
    result: CommResult, book: Book, options: CommOptions, environment: Mapping[str, str]
) -> str:
    key = f"comm-{result.plan.target}-{result.plan.ranks}"
    path = book.write_record(key, lambda: comm_record(result, options, environment))
    book.finish()
    return path


def _notes(result: CommResult, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield what a reader of the times should know."""
    plan = result.plan
    yield ("all ranks are on this machine; groups over several machines are not measured yet, and "
           "rates say nothing of a network")  # fmt: skip
    cpus = int(environment.get("cpus", 0))
    if result.ranks and all(r.device == "cpu" for r in result.ranks) and plan.ranks > cpus > 0:
        yield (f"{plan.ranks} ranks share {things(cpus, 'core')}: times contain waiting for a core")


def comm_record(result: CommResult, options: CommOptions, environment: Mapping[str, str]) -> Record:
    """Return a measurement of collectives as a sealed record."""
    import datetime

    from crossgrade.api.bench_book import passed_of
    from crossgrade.records.codec import seal, to_json
    from crossgrade.values.record import Record

    facts = {f"rank {r.rank} {name}": value for r in result.ranks for name, value in
             r.facts.items()}  # fmt: skip
    return seal(
        Record(
            kind="comm",
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            passed=passed_of(options),
            resolved=to_json(result.plan),
            environment={**environment, **facts},
            verdict=result.verdict,
            data=to_json(result),
        )
    )


def stored_comm(path: Path, record: Record) -> CommRun:
    """Return the collectives that a record holds.

    Raises:
        BadRecord: it holds none.
    """
    from crossgrade.api.keeping import comm_result

    return CommRun(
        result=comm_result(record, path),
        record=str(path),
        folder=str(path.parent),
        environment=record.environment,
    )


def render_comm(run: CommRun, *, as_json: bool = False, **screen: Unpack[Screen]) -> str:
    """Return collectives as text: JSON, tables on a screen, Markdown in a pipe."""
    if as_json:
        return json_text("bench comm", run, run.verdict)
    from crossgrade.report.comm import comm_document

    return screen_text(comm_document(run), screen)
