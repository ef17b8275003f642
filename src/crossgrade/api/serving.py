"""`bench serve`: load on a served model, at an address or on a server started for it, measured.

Wires plan, endpoint, journal and record together. Must not know how a number is made.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Unpack

from crossgrade.api.texts import Screen, json_text, screen_text
from crossgrade.errors import BadOption
from crossgrade.serving.address import read_address
from crossgrade.serving.traces import read_trace
from crossgrade.units import things
from crossgrade.values.serving import (
    SESSIONS,
    Api,
    Limits,
    Load,
    ServePlan,
    ServingResult,
    ServingRun,
)

if TYPE_CHECKING:
    from crossgrade.api.bench_book import Book
    from crossgrade.serving.run import ServingSource
    from crossgrade.serving.traces import Trace
    from crossgrade.values.record import Record

Narrate = Callable[[str], None]
DEFAULT_USERS: Final = (1, 8)
"""Closed loops where no load is named."""
DEFAULT_REQUESTS: Final = 100
_WARMUPS = 8
LOCAL: Final = "local"
"""Address, in a plan, of a server that is started for the run."""
_MOST = 1_000_000
_LONGEST = 1e7
_OPTION: Final = {
    "dtype": "--dtype", "weights": "--weights", "device": "--device", "threads": "--threads",
    "slots": "--slots", "key_env": "--key-env", "model": "--model", "pace": "--pace",
    "most_in_flight": "--max-concurrency",
}  # fmt: skip
"""Field -> option."""
_SENDING = 0.7
"""Share of a load's time that its arrivals take on average; a Poisson process may need more."""
_LEAST_ARRIVALS = 10
_PER_USER = 4
"""Requests per user and session below which a closed loop mostly begins and ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Which endpoint, what load, and how well it is to be known."""

    url: str = ""
    """Address of the endpoint, with `/v1`; or `local` names a model."""
    local: str = ""
    """Model of a server that is started for the run: preset, folder or config.json."""
    model: str = ""
    """Name of the model as the endpoint knows it; empty: the only one it has."""
    api: Api = "completions"
    """Interface that is spoken."""
    rates: tuple[float, ...] = ()
    """Open loops: mean arrivals per s."""
    users: tuple[int, ...] = ()
    """Closed loops: requests in flight."""
    traces: tuple[str, ...] = ()
    """Traces that are replayed: shipped names or files."""
    pace: float = 1.0
    """How many times as fast as recorded traces are replayed."""
    most_in_flight: int | None = None
    """Most requests at once of open loops and traces; None: without limit."""
    requests: int | None = None
    """Requests per load and session; None: 100, of an open loop what the budget has time for."""
    input_tokens: int = 128
    """Tokens of a prompt."""
    output_tokens: int = 64
    """Tokens of an answer."""
    warmups: int | None = None
    """Requests before; None: as many as are in flight at once, 8 at least."""
    limits: Limits = field(default_factory=Limits)
    """What counts as good."""
    half_width: float = 0.05
    """Wanted half width of the 95 % interval of median latencies, as a share."""
    least_sessions: int = 5
    """Sessions without which nothing counts as measured; 5 or more."""
    budget_s: float = 300.0
    """Time for all of it, s."""
    timeout_s: float = 60.0
    """Longest time without text of an answer, s."""
    key_env: str = ""
    """Environment variable that holds the key; empty: none is sent."""
    seed: int = 0
    """Seed of arrivals, prompts and orders; and of the weights of a local server."""
    dtype: str | None = None
    """Format of a local server's weights; None: the checkpoint's."""
    weights: Path | None = None
    """Checkpoint of a local server; None: random by seed."""
    device: str = "cpu"
    """Device of a local server, as torch writes it."""
    threads: int | None = None
    """Threads of torch in a local server; None: all cores."""
    slots: int = 8
    """Requests that a local server works on at once."""
    folder: Path | None = None
    """Where record and journal go."""

    def check(self) -> None:
        """Refuse what makes no sense; BadOption."""
        if bool(self.url) == bool(self.local):
            raise BadOption("name one endpoint", hint="--url http://HOST:PORT/v1, or --local MODEL")
        usual = ServeOptions()
        for name, (asked, needs, there) in self._conditional().items():
            if asked != getattr(usual, name) and not there:
                raise BadOption(f"{_OPTION.get(name, name)} is for {needs}")
        for name, numbers in (("--rate", self.rates), ("--concurrency", self.users),
                              ("--trace", self.traces)):  # fmt: skip
            if len(set(numbers)) < len(numbers):
                raise BadOption(f"{name} is given twice with one value")
        self._check_numbers()

    def _conditional(self) -> dict[str, tuple[object, str, bool]]:
        """Return options that mean something only beside another: value, what it is for, whether
        that is there."""
        local, remote = bool(self.local), bool(self.url)
        open_ = bool(self.rates or self.traces)
        return {
            "dtype": (self.dtype, "--local; the server at --url has its own", local),
            "weights": (self.weights, "--local; the server at --url has its own", local),
            "device": (self.device, "--local; the server at --url has its own", local),
            "threads": (self.threads, "--local; the server at --url has its own", local),
            "slots": (self.slots, "--local; the server at --url has its own", local),
            "key_env": (self.key_env, "--url", remote),
            "model": (self.model, "--url", remote),
            "pace": (self.pace, "--trace", bool(self.traces)),
            "most_in_flight": (self.most_in_flight, "--rate and --trace", open_),
        }

    def _check_numbers(self) -> None:
        whole = (("--concurrency", self.users), ("--max-concurrency", (self.most_in_flight,)),
                 ("--requests", (self.requests,)), ("--input-tokens", (self.input_tokens,)),
                 ("--output-tokens", (self.output_tokens,)), ("--slots", (self.slots,)),
                 ("--threads", (self.threads,)))  # fmt: skip
        for name, numbers in whole:
            for n in numbers:
                if n is not None and not 1 <= n <= _MOST:
                    raise BadOption(f"{name} {n}", hint=f"1 to {_MOST}")
        if self.warmups is not None and not 0 <= self.warmups <= _MOST:
            raise BadOption(f"--warmups {self.warmups}", hint=f"0 to {_MOST}")
        limits = (self.limits.ttft_s, self.limits.tpot_s, self.limits.e2e_s)
        positive = (("--rate", self.rates), ("--pace", (self.pace,)),
                    ("--budget", (self.budget_s,)), ("--timeout", (self.timeout_s,)),
                    ("--good", limits))  # fmt: skip
        for name, values in positive:
            for v in values:
                if v is not None and not 0 < v < _LONGEST:
                    raise BadOption(f"{name} {v:g}", hint=f"above 0, below {_LONGEST:g}")
        if not 1e-3 <= self.half_width <= 0.5:
            raise BadOption(f"--half-width {self.half_width:g}", hint="a share, 0.001 to 0.5")
        if self.least_sessions not in SESSIONS:
            raise BadOption(f"--sessions {self.least_sessions}",
                            hint="one of " + ", ".join(map(str, SESSIONS)))  # fmt: skip


def serve_plan(options: ServeOptions) -> ServePlan:
    """Return what options ask for, with what they leave open filled in.

    Raises:
        BadOption: they make no sense, or no trace has that name.
        BadTrace: a trace cannot be read.
    """
    options.check()
    loads = tuple(_loads(options))
    keys = [load.key for load in loads]
    if twice := next((key for key in keys if keys.count(key) > 1), ""):
        raise BadOption(f"two loads are called {twice}", hint="name one of them otherwise")
    return ServePlan(
        endpoint=read_address(options.url, None).base if options.url else LOCAL,
        model=options.model,
        api=options.api,
        server=_server(options) if options.local else {},
        loads=loads,
        limits=options.limits,
        half_width=options.half_width,
        least_sessions=options.least_sessions,
        budget_s=options.budget_s,
        timeout_s=options.timeout_s,
        seed=options.seed,
    )


def _server(options: ServeOptions) -> dict[str, str]:
    """Return what a local server is started with, as far as it decides a time.

    A configuration and weights are named by what is in them, not by where they lie.
    """
    from crossgrade.workloads.resolve import find_model

    found = find_model(options.local)
    given = {
        "model": found.ref.name, "config": _digest(found.config), "dtype": options.dtype,
        "device": options.device, "weights": _weights(options.weights),
        "threads": options.threads, "slots": options.slots,
    }  # fmt: skip
    return {name: str(value) for name, value in given.items() if value is not None}


def _weights(folder: Path | None) -> str | None:
    """Return the name of a checkpoint's folder and a digest of the names and sizes of its files."""
    if folder is None:
        return None
    files = sorted((f.name, f.stat().st_size) for f in folder.iterdir() if f.is_file())
    return f"{folder.resolve().name} {_digest(files)}"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def _loads(options: ServeOptions) -> Iterator[Load]:
    """Yield the loads that are named, else two closed loops."""
    users = options.users
    if not (options.rates or users or options.traces):
        users = DEFAULT_USERS
    count = len(options.rates) + len(users) + len(options.traces)
    for rate in options.rates:
        yield _open_loop(options, rate, count)
    for each in users:
        warmups = max(each, _WARMUPS if options.warmups is None else options.warmups)
        requests = options.requests or max(DEFAULT_REQUESTS, _PER_USER * each)
        yield Load(kind="closed-loop", concurrency=each, requests=requests, warmups=warmups,
                   input_tokens=options.input_tokens,
                   output_tokens=options.output_tokens)  # fmt: skip
    for name in options.traces:
        yield _of_trace(options, name)


def _open_loop(options: ServeOptions, rate: float, loads: int) -> Load:
    """Return an open loop, of as many requests as its share of the budget has time for.

    Raises:
        BadOption: that is fewer than tell anything.
    """
    warmups = _WARMUPS if options.warmups is None else options.warmups
    requests = options.requests
    if requests is None:
        sessions = loads * options.least_sessions
        arrivals = rate * _SENDING * options.budget_s / sessions
        fits = int(arrivals - 2 * math.sqrt(arrivals)) - warmups
        if fits < _LEAST_ARRIVALS:
            least = warmups + _LEAST_ARRIVALS
            wanted = (math.sqrt(least + 1) + 1) ** 2 / rate / _SENDING * sessions
            raise BadOption(
                f"--rate {rate:g} is too seldom for --budget {options.budget_s:g}",
                hint=f"--budget {math.ceil(wanted)}, fewer loads, or --requests",
            )
        requests = min(DEFAULT_REQUESTS, fits)
    return Load(kind="open-loop", rate_per_s=rate, concurrency=options.most_in_flight,
                requests=requests, warmups=warmups, input_tokens=options.input_tokens,
                output_tokens=options.output_tokens)  # fmt: skip


def _of_trace(options: ServeOptions, name: str) -> Load:
    trace = read_trace(name)
    warmups = _WARMUPS if options.warmups is None else options.warmups
    warmups = min(warmups, len(trace.offsets_s) - 1)
    asked = options.requests or DEFAULT_REQUESTS
    return Load(
        kind="trace",
        concurrency=options.most_in_flight,
        trace=trace.name,
        trace_digest=_trace_digest(trace),
        pace=options.pace,
        requests=min(asked, len(trace.offsets_s) - warmups),
        warmups=warmups,
    )


def _trace_digest(trace: Trace) -> str:
    return _digest([trace.offsets_s, trace.input_tokens, trace.output_tokens])


def bench_serve(
    options: ServeOptions, *, record: bool = True, narrate: Narrate = lambda text: None
) -> ServingRun:
    """Return load on an endpoint measured, and write one record of all.

    Every load is kept as it is taken; the same call takes an interrupted run up.

    Args:
        options: which endpoint, what load, how well.
        record: whether a record and a journal are written.
        narrate: told what happens.

    Raises:
        BadOption: the options make no sense.
        BadTrace: a trace cannot be read.
        MissingExtra: the client is not installed.
        EndpointAbsent: nothing that serves a model answers there.
        TargetBroken: a local server does not start.
        FolderInUse: another run is writing there.
    """
    from crossgrade.environment.fingerprint import fingerprint
    from crossgrade.serving.run import run_serving

    plan = serve_plan(options)
    environment = fingerprint()
    with ExitStack() as stack:
        book = _book(options, plan, environment, stack) if record else None
        logs = book.folder if book else Path(stack.enter_context(TemporaryDirectory()))
        source = _source(options, logs, stack)
        found = run_serving(plan, source, store=book, narrate=narrate)
        result = replace(found, notes=tuple(_notes(found, options)))
        path = _written(result, book, options, environment) if book else ""
    return ServingRun(
        result=result,
        record=path,
        folder=str(book.folder) if book else "",
        environment=environment,
        taken_up=book.taken_up if book else 0,
    )


def _source(options: ServeOptions, logs: Path, stack: ExitStack) -> ServingSource:
    """Return where the endpoint comes from."""
    from crossgrade.serving.sources import LocalSource, RemoteSource

    traces = {_trace_digest(trace): trace for trace in map(read_trace, options.traces)}
    if options.url:
        return RemoteSource(address=options.url, key=_key(options), traces=traces)
    from crossgrade.serving.local import LocalOptions

    served = LocalOptions(
        model=options.local,
        weights=str(options.weights) if options.weights else "",
        seed=options.seed,
        dtype=options.dtype,
        device=options.device,
        threads=options.threads,
        most_at_once=options.slots,
    )
    return stack.enter_context(LocalSource(served, logs=logs, traces=traces))


def _key(options: ServeOptions) -> str:
    if not options.key_env:
        return ""
    key = os.environ.get(options.key_env, "")
    if not key:
        raise BadOption(f"--key-env {options.key_env}: no such variable is set",
                        hint=f"export {options.key_env}=...")  # fmt: skip
    return key


def _book(
    options: ServeOptions, plan: ServePlan, environment: Mapping[str, str], stack: ExitStack
) -> Book:
    from crossgrade.api.bench_book import Book
    from crossgrade.serving.run import serve_event_of

    book = Book.of(options.folder, [plan], environment, kind="serving", read=serve_event_of)
    stack.enter_context(book)
    book.open([plan])
    return book


def _written(
    result: ServingResult, book: Book, options: ServeOptions, environment: Mapping[str, str]
) -> str:
    path = book.write_record(
        f"serving-{result.endpoint.model}", lambda: serving_record(result, options, environment)
    )
    book.finish()
    return path


def _notes(result: ServingResult, options: ServeOptions) -> Iterator[str]:
    """Yield what a reader of the latencies should know."""
    if options.local:
        yield ("server and client share this machine's cores; the server was started afresh for "
               "every session")  # fmt: skip
    else:
        yield "the server was not started afresh: sessions do not show what differs between starts"
    for load in result.plan.loads:
        users = load.concurrency or 0
        if load.kind == "closed-loop" and load.requests < _PER_USER * users:
            yield (f"{load.key}: {load.requests} requests are fewer than {_PER_USER} per user, so "
                   "much of the time fewer users wait")  # fmt: skip
        if left_out := _left_out(load, result):
            yield f"{load.key}: {things(left_out, 'request')} longer than the model takes, left out"
    if not result.endpoint.ignores_eos:
        yield "the endpoint does not take `ignore_eos`: answers may be shorter than was asked"


def _left_out(load: Load, result: ServingResult) -> int:
    """Return how many requests of a trace the model could not take."""
    sent = max((len(s.requests.due_ns) for s in result.sessions
                if result.plan.loads[s.load] == load), default=0)  # fmt: skip
    return load.warmups + load.requests - sent if load.kind == "trace" and sent else 0


def serving_record(
    result: ServingResult, options: ServeOptions, environment: Mapping[str, str]
) -> Record:
    """Return a measurement of an endpoint as a sealed record."""
    import datetime

    from crossgrade.api.bench_book import passed_of
    from crossgrade.records.codec import seal, to_json
    from crossgrade.values.record import Record

    passed = passed_of(options)
    passed["url"] = result.plan.endpoint if options.url else ""
    passed["local"] = result.plan.server.get("model", "")
    passed["traces"] = [load.trace for load in result.plan.loads if load.trace]
    facts = {f"endpoint {name}": value for name, value in result.endpoint.facts.items()}
    return seal(
        Record(
            kind="serving",
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            passed=passed,
            resolved=to_json(result.plan),
            environment={**environment, **facts},
            verdict=result.verdict,
            data=to_json(result),
        )
    )


def stored_serving(path: Path, record: Record) -> ServingRun:
    """Return the load that a record holds.

    Raises:
        BadRecord: it holds none.
    """
    from crossgrade.api.keeping import serving_result

    return ServingRun(
        result=serving_result(record, path),
        record=str(path),
        folder=str(path.parent),
        environment=record.environment,
    )


def render_serving(run: ServingRun, *, as_json: bool = False, **screen: Unpack[Screen]) -> str:
    """Return load on an endpoint as text: JSON, tables on a screen, Markdown in a pipe."""
    if as_json:
        return json_text("bench serve", run, run.verdict)
    from crossgrade.report.serving import serving_document

    return screen_text(serving_document(run), screen)
