"""What stands on the page of a measurement, and on that of a comparison of two.

Must not know HTML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crossgrade.values.bench import BenchRow, BenchRun
from crossgrade.values.comparison import CaseComparison, Comparison, Difference
from crossgrade.values.strip import Strip


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFile:
    """The record that a number rests on."""

    name: str
    """Name of its file, without the folder: a path tells of the machine."""
    digest: str
    """SHA-256 that it is sealed with."""
    created: str
    """When it was written, ISO 8601, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseEntry:
    """One case of a run, with what a page needs besides."""

    row: BenchRow
    """What was found."""
    judged: Mapping[str, CaseComparison]
    """Variant -> how it differs from the baseline; without what is excused on both sides."""
    strips: tuple[Strip, ...]
    """How the samples of each variant lie that has a number."""
    file: RecordFile | None
    """Its record; None: none was written."""

    @property
    def title(self) -> str:
        """Return the case, for a person."""
        return self.row.result.plan.variants[0].case.title


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPage:
    """The page of a run."""

    run: BenchRun
    """What it shows."""
    cases: tuple[CaseEntry, ...]
    """Its cases, in their order."""
    margin: float
    """Differences up to this share are taken for none."""
    command: str
    """The command line that measures it again; empty: it is not known."""
    created: str
    """When the page was made, ISO 8601, UTC."""
    version: str
    """Of crossgrade."""
    differences: tuple[Difference, ...] = ()
    """Facts in which records of the run differ: it was not measured in one environment."""

    @property
    def measured(self) -> str:
        """Return the day, or first and last day, on which it was measured."""
        days = sorted({c.file.created[:10] for c in self.cases if c.file}) or [self.created[:10]]
        return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"

    @property
    def files(self) -> tuple[RecordFile, ...]:
        """Return its records."""
        return tuple(c.file for c in self.cases if c.file)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPage:
    """The page of a comparison."""

    comparison: Comparison
    """What it shows."""
    before: tuple[RecordFile, ...]
    """Records of the first run."""
    after: tuple[RecordFile, ...]
    """Records of the second; empty: variants of one run were compared."""
    names: tuple[str, str]
    """What the two are called, such as names of folders; the second empty as `after`."""
    environments: tuple[Mapping[str, str], Mapping[str, str]]
    """Facts of both; the second empty as `after`."""
    command: str
    """The command line that compares them again."""
    created: str
    """When the page was made, ISO 8601, UTC."""
    version: str
    """Of crossgrade."""
