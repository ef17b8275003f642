"""The folder of a measuring run: its lock, its journal, its records.

A run that was interrupted is found again by the digest of its plans and taken up. Must not know
what is measured.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from crossgrade.errors import BadOption, CrossgradeError
from crossgrade.jobs.journal import Journal
from crossgrade.jobs.lock import LOCK, FolderLock
from crossgrade.measure.isolated import event_of
from crossgrade.measure.workers import event_json
from crossgrade.records.codec import dump, seal, to_json
from crossgrade.records.store import default_folder
from crossgrade.values.bench import BenchResult
from crossgrade.values.record import Record, RecordKind

if TYPE_CHECKING:
    from crossgrade.api.benching import Measuring

JOURNAL = "journal.jsonl"
SCRATCH = "scratch"
_PLANS, _ENVIRONMENT, _FINISHED = "plans", "environment", "finished"
_OF_A_SESSION = ("Sampled", "Lost")
"""Events with which a session ends, by the name under which they are written."""


class Book:
    """What a run has kept, and where it goes on."""

    def __init__(
        self,
        folder: Path,
        digest: str,
        environment: Mapping[str, str],
        read: Callable[[Any], Any] = event_of,
    ) -> None:
        """Name the folder; nothing is made yet.

        Args:
            folder: where everything lies.
            digest: of the plans.
            environment: of this process.
            read: JSON -> an event of the measurement.
        """
        self.folder = folder
        self.taken_up = 0
        self._digest = digest
        self._environment = environment
        self._records: dict[str, str] = {}
        self._read = read
        self._events: list[Any] = []
        self._kept = False
        self._began = False
        self._finished = False
        self._stack = ExitStack()
        self._journal: Journal

    @classmethod
    def of(
        cls,
        folder: Path | None,
        plans: Sequence[Any],
        environment: Mapping[str, str],
        *,
        kind: RecordKind = "bench",
        read: Callable[[Any], Any] = event_of,
    ) -> Book:
        """Return the book of a run: in the folder that is named, else in one of its own.

        Without a folder an unfinished run of the same plans is taken up where it lies in the user's
        data folder.

        Args:
            folder: where it is, None for one of its own.
            plans: what is measured; values of a plan.
            environment: of this process.
            kind: of the records; part of the name of a folder of its own.
            read: JSON -> an event of the measurement.
        """
        if folder is None:
            digest = _digest(plans, environment)
            name = f"{_now():%Y%m%dT%H%M%SZ}-{kind}-{digest}"
            folder = _unfinished(digest, kind) or default_folder() / name
        return cls(folder, _digest(plans), environment, read)

    def __enter__(self) -> Self:
        made = not self.folder.exists()
        self._stack.enter_context(FolderLock(self.folder))
        self._stack.callback(self._remove_if_empty, made)
        self._journal = self._stack.enter_context(Journal(self.folder / JOURNAL))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def scratch(self) -> str:
        """Return a folder for what takes long to make.

        It goes when the run ends in order; one that a killed run left is used by the run that
        takes it up.
        """
        folder = self.folder / SCRATCH
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return str(folder)

    def _remove_if_empty(self, made: bool) -> None:
        """Leave nothing of a run that was refused before it had kept anything."""
        if self._kept or not (made or self._began):
            return
        with contextlib.suppress(OSError):
            (self.folder / JOURNAL).unlink(missing_ok=True)
            (self.folder / LOCK).unlink(missing_ok=True)
            if made:
                self.folder.rmdir()

    def open(self, plans: Sequence[Any]) -> None:
        """Read what is kept, or write the plans as the first entry.

        Raises:
            BadOption: the folder holds a run of other plans.
        """
        entries = list(self._journal.entries())
        if not entries:
            self._began = True
            first = {_PLANS: self._digest, _ENVIRONMENT: dict(self._environment)}
            self._journal.append({**first, "cases": [to_json(p) for p in plans]})
            return
        if entries[0].get(_PLANS) != self._digest:
            raise BadOption(
                f"'{self.folder}' holds a run with other cases or options",
                hint="name another --out, or repeat the options of that run",
            )
        self._check_environment(entries[0].get(_ENVIRONMENT, {}))
        for entry in entries[1:]:
            if "record" in entry:
                self._records[entry["key"]] = entry["record"]
            elif _FINISHED in entry:
                self._finished = True
            else:
                self._events.append(self._read(entry))
                self.taken_up += entry["event"] in _OF_A_SESSION

    def _check_environment(self, before: Mapping[str, str]) -> None:
        """Refuse to mix sessions of two environments in one record."""
        names = sorted({*before, *self._environment})
        other = [n for n in names if before.get(n) != self._environment.get(n)]
        if other:
            told = ", ".join(
                f"{n}: {before.get(n)} -> {self._environment.get(n)}" for n in other[:3]
            )
            raise BadOption(
                f"'{self.folder}' holds a run in another environment ({told})",
                hint="name another --out; what was measured there stays",
            )

    # a Store of `crossgrade.measure.harness` ---------------------------------------------------
    def events(self) -> Iterator[Any]:
        """Yield what an earlier process has kept."""
        return iter(self._events)

    def keep(self, event: Any) -> None:
        """Keep an event; it is on the disk when this returns."""
        self._journal.append(event_json(event))
        self._kept = True

    # records -----------------------------------------------------------------------------------
    def write(self, key: str, result: BenchResult, options: Measuring) -> str:
        """Write the record of a case, unless an earlier process has; return its path."""
        return self.write_record(
            key, lambda: bench_record(result, passed_of(options), self._environment)
        )

    def write_record(self, key: str, make: Callable[[], Record]) -> str:
        """Write what is made under a key, unless an earlier process has; return its path."""
        if key in self._records and (self.folder / self._records[key]).is_file():
            return str(self.folder / self._records[key])
        name = f"{_file_name(key)}.json"
        dump(make(), self.folder / name)
        self._journal.append({"key": key, "record": name})
        self._kept = True
        return str(self.folder / name)

    def finish(self) -> None:
        """Note that nothing is left to do."""
        if not self._finished:
            self._journal.append({_FINISHED: True})


def bench_record(
    result: BenchResult, passed: Mapping[str, Any], environment: Mapping[str, str]
) -> Record:
    """Return a measurement as a sealed record."""
    targets = {f"{a.target} {name}": value for a in result.audits for name, value in a.facts}
    return seal(
        Record(
            kind="bench",
            created=_now().isoformat(timespec="seconds"),
            passed=passed,
            resolved=to_json(result.plan),
            environment={**environment, **targets},
            verdict=result.verdict,
            data=to_json(result),
        )
    )


def write_bench_record(record: Record, key: str, folder: Path | None) -> str:
    """Write a record that belongs to no run, and return its path."""
    name = f"{_now():%Y%m%dT%H%M%SZ}-bench-{_file_name(key)}-{record.digest[:8]}.json"
    path = (folder or default_folder()) / name
    dump(record, path)
    return str(path)


def passed_of(options: Any) -> dict[str, Any]:
    """Return what the user gave; of files the name, because a path tells of the machine."""
    given = dataclasses.asdict(options)
    del given["folder"]
    return {k: without_folders(v) if isinstance(v, str | Path) else to_json(v)
            for k, v in given.items()}  # fmt: skip


def without_folders(given: str | Path) -> str:
    """Return what was given, of a file or folder that is here the name alone."""
    path = Path(given)
    if isinstance(given, Path) or (path.name != given and path.exists()):
        return path.resolve().name
    return given


def _file_name(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", key)


def _digest(plans: Sequence[Any], environment: Mapping[str, str] | None = None) -> str:
    body = json.dumps([[to_json(p) for p in plans], dict(environment or {})], sort_keys=True)
    return hashlib.sha256(body.encode()).hexdigest()[:12]


def _unfinished(digest: str, kind: str) -> Path | None:
    """Return the newest folder of such a run that did not finish and does not run now."""
    for folder in sorted(default_folder().glob(f"*-{kind}-{digest}"), reverse=True):
        try:
            # Opening a journal cuts a half line off its end, and a live run may be writing one.
            with FolderLock(folder), Journal(folder / JOURNAL) as journal:
                finished = any(_FINISHED in e for e in journal.entries())
        except CrossgradeError:  # in use, or it cannot be read
            continue
        if not finished:
            return folder
    return None


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
