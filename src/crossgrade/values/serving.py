"""Load on a served model: what was planned, every request in order, what follows from them.

The words are the field's: TTFT is the time to the first token, TPOT the time per output token
after the first, ITL the gap between two tokens as they arrive. Must not know how requests are sent,
nor how statistics are worked out. Times in seconds where a name ends in `_s`, nanoseconds of one
monotonic clock where it ends in `_ns`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from crossgrade.values.bench import Interval, LostSession

SERVING_SEMANTICS: Final = 1
"""Generation of the meaning of the numbers; raised when the same field comes to mean another thing.
"""
Api = Literal["completions", "chat"]
"""Which of OpenAI's interfaces: `/v1/completions` or `/v1/chat/completions`, both streamed."""
LoadKind = Literal["open-loop", "closed-loop", "trace"]
"""open-loop: requests arrive at a mean rate as a Poisson process, whether or not earlier ones are
answered. closed-loop: a fixed number of users, each of whom sends the next request as soon as the
last is answered. trace: requests arrive when, and as long as, a trace says."""
Outcome = Literal[
    "ok", "refused", "timed-out", "http-error", "cut-off", "malformed", "unfinished"
]  # fmt: skip
"""How a request ended; a closed list.

ok: a stream that ended as the protocol says. refused: no connection was made. timed-out: no text
came for longer than the limit. http-error: a status other than 200, or an error in the stream.
cut-off: the connection ended before the stream did. malformed: what came is not the protocol.
unfinished: the time of the load was over before it ended."""
OUTCOMES: Final[tuple[Outcome, ...]] = (
    "ok", "refused", "timed-out", "http-error", "cut-off", "malformed", "unfinished",
)  # fmt: skip

OWN_LIMIT: Final = "a limit of the client's machine"
"""How the detail of an unfinished request begins that the client's machine could not send."""

ServingVerdict = Literal[
    "measured", "noisy", "saturated", "client-bound", "miscounting", "refused", "timed-out",
    "http-error", "cut-off", "malformed", "unmeasured",
]  # fmt: skip
"""How a load, or a run, ended; a closed list.

measured: every interval is as narrow as was asked. noisy: numbers are there, an interval is wider
than asked or sessions are too few. saturated: requests pile up at this load; latencies grow as long
as it lasts and say how long it lasted. client-bound: the client may have been the limit, not the
endpoint. miscounting: the numbers of tokens that the endpoint reports cannot be right. refused,
timed-out, http-error, cut-off, malformed: more than one request in a hundred ended so; the
commonest. unmeasured: no request was answered in the time given."""
SERVING_VERDICTS: Final[tuple[ServingVerdict, ...]] = (
    "unmeasured", "refused", "timed-out", "http-error", "cut-off", "malformed", "miscounting",
    "client-bound", "saturated", "noisy", "measured",
)  # fmt: skip
"""The worst first."""
SESSIONS: Final = (5, 8, 12, 18, 27, 40)
"""Session counts after which a run may stop."""
MetricName = Literal["ttft", "tpot", "itl", "e2e"]
"""ttft: from sending a request to its first token. tpot: (last token - first token) / (tokens - 1).
itl: each gap between arrivals of text. e2e: from sending a request to its last token. Under an open
loop and a trace a request counts as sent when it was due: a late client hides no queue."""
METRICS: Final[tuple[MetricName, ...]] = ("ttft", "tpot", "itl", "e2e")
PERCENTILES: Final = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One load that is put on the endpoint."""

    kind: LoadKind
    """How requests arrive."""
    rate_per_s: float | None = None
    """Mean arrivals per s of an open loop."""
    concurrency: int | None = None
    """Users of a closed loop; most requests at once elsewhere, None without limit."""
    trace: str = ""
    """Name of the trace: one that is shipped, or of a file without its ending."""
    trace_digest: str = ""
    """First 12 characters of the SHA-256 over the requests of the trace."""
    pace: float = 1.0
    """How many times as fast as recorded a trace is replayed."""
    requests: int = 100
    """Requests per session that count; warm-ups come before."""
    warmups: int = 8
    """Requests before, sent as the load is and not counted; at least as many as are in flight at
    once."""
    input_tokens: int = 128
    """Tokens of a prompt; of a trace what the trace says."""
    output_tokens: int = 64
    """Tokens that are asked for; of a trace what the trace says."""

    @property
    def key(self) -> str:
        """Return it as one word, such as `rate-2.5`, `concurrency-8` or `trace-azure-conv`."""
        if self.kind == "open-loop":
            return f"rate-{self.rate_per_s:g}"
        if self.kind == "closed-loop":
            return f"concurrency-{self.concurrency}"
        return f"trace-{self.trace}" + ("" if self.pace == 1 else f"-x{self.pace:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Latencies within which a request counts as good; None sets none."""

    ttft_s: float | None = None
    """Longest time to the first token, s."""
    tpot_s: float | None = None
    """Longest time per output token, s."""
    e2e_s: float | None = None
    """Longest time to the last token, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServePlan:
    """Everything that decides which requests are sent, but for the salt of their prompts."""

    endpoint: str
    """Address without user, password and query, such as `http://127.0.0.1:8000/v1`; a server that
    is started for the run has `local`."""
    model: str
    """Name of the model as the endpoint knows it; empty: the only one that it has."""
    api: Api
    """Interface that is spoken."""
    loads: tuple[Load, ...]
    """Loads, each once per session, in random order."""
    server: Mapping[str, str] = field(default_factory=dict)
    """What a server that is started for the run is started with; empty for an address."""
    limits: Limits = field(default_factory=Limits)
    """What counts as good."""
    half_width: float = 0.05
    """Wanted half width of the 95 % interval of the median latencies, as a share."""
    looks: tuple[int, ...] = SESSIONS
    """Session counts after which it may stop."""
    least_sessions: int = 5
    """It does not stop as done before that many."""
    budget_s: float = 300.0
    """Time for all of it, s of wall clock."""
    timeout_s: float = 60.0
    """Longest time without text of an answer, s."""
    seed: int = 0
    """Seed of arrivals, prompts and orders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Requests of one load in one session, in the order in which they were due; one per place.

    Times are of the monotonic clock of the client's machine.
    """

    due_ns: tuple[float, ...]
    """When it was due; of a closed loop when it was sent."""
    sent_ns: tuple[float | None, ...]
    """When the client began to send it; None for one that was not sent."""
    first_ns: tuple[float | None, ...]
    """When the first text arrived; None without any."""
    last_ns: tuple[float | None, ...]
    """When the last text arrived; None without any."""
    ended_ns: tuple[float | None, ...]
    """When the stream, or what there was of it, ended; None for one that was not sent."""
    outcomes: tuple[Outcome, ...]
    """How it ended."""
    details: tuple[str, ...]
    """What happened, for a person; empty for one that is ok."""
    input_asked: tuple[int, ...]
    """Tokens that the prompt was made to have."""
    input_reported: tuple[int, ...]
    """Tokens of the prompt as the endpoint reports them; -1 where it does not."""
    output_asked: tuple[int, ...]
    """Tokens that were asked for at most."""
    output_reported: tuple[int, ...]
    """Tokens that the endpoint says it gave; -1 where it does not."""
    chunks: tuple[int, ...]
    """Events of the stream that had text."""
    text_bytes: tuple[int, ...]
    """Bytes of the text that came, UTF-8."""
    gaps_ns: tuple[tuple[float, ...], ...]
    """Of each request the gaps between events with text, in order."""
    warmups: int
    """So many of the first places were warm-ups and do not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSession:
    """One load in one session."""

    index: int
    """0 is the first session; several loads share an index."""
    load: int
    """Place of the load in the plan."""
    restarted: bool
    """Whether the server was started afresh for the session."""
    salt: int = 0
    """Drawn when the load began, and part of the seed of its prompts: a server that stays up shall
    not find the prompts of an earlier or interrupted run in its cache."""
    requests: Requests
    """What was sent, and what came."""
    null_per_s: float | None
    """Requests per s that this client gets out of a server that answers at once, the same prompts
    and as many tokens each, measured in this session (self-check); None where it failed."""
    spent_s: float
    """Time of the load, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What is known of the endpoint."""

    address: str
    """Address without user, password and query."""
    model: str
    """Model that was asked for."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What it says of itself: the `server` header, `/version`, models, its device where it is
    ours."""
    streams_usage: bool = True
    """Whether it takes `stream_options` and reports numbers of tokens at the end of a stream."""
    ignores_eos: bool = True
    """Whether it takes `ignore_eos`, so that an answer is as long as was asked for."""
    input_fixed: float = 0.0
    """Tokens of a prompt beyond its words, as the endpoint reports them: a chat template."""
    input_per_word: float = 1.0
    """Tokens per word of a prompt, as the endpoint reports them; 1 where it reports none."""
    notes: tuple[str, ...] = ()
    """What it did not take of a request, such as `ignore_eos`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile:
    """A percentile over all requests of all sessions, with a bound that holds for any distribution.

    A request without an answer counts as longer than any.
    """

    share: float
    """Which: 0.99 is p99."""
    value_s: float | None
    """The percentile, s (measured); None where it falls among requests without an answer."""
    low_s: float | None
    """Lower end of the 95 % interval by order statistics (binomial)."""
    high_s: float | None
    """Upper end; None: there are too few requests, or too many without an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One latency of a load."""

    name: MetricName
    """Which."""
    count: int
    """Values in it: requests, of `itl` gaps."""
    median_s: Interval | None
    """Median of a session, geometric mean over sessions with the t interval between them, s."""
    mean_s: float | None
    """Mean over all values, s."""
    percentiles: tuple[Percentile, ...]
    """PERCENTILES."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of requests with its 95 % interval (Clopper and Pearson)."""

    value: float
    """Share."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saturation:
    """Whether requests piled up while a load lasted."""

    saturated: bool
    """Whether they did."""
    slope: Interval | None
    """Growth of the end-to-end latency over the load, as a share of its median (0.5: half as long
    again at the end), over sessions; None where there is too little."""
    in_flight: Interval | None
    """Growth of the number of requests in flight, as a share of its mean, over sessions."""
    delivered: float | None
    """Completed over offered requests per s while the load lasted; None of a closed loop."""
    why: str
    """What decided, for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCheck:
    """Whether the client may have been the limit."""

    bound: bool
    """Whether it may."""
    headroom: float | None
    """Requests per s with a server that answers at once over those of the load; 5 or more is
    wanted."""
    late_share: float | None
    """95th percentile of how late requests were sent over the median TTFT; None of a closed
    loop."""
    why: str
    """What decided, for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """Whether numbers of tokens can be right."""

    source: Literal["reported", "events"]
    """reported: tokens are those that the endpoint reports. events: it reports none, and every
    event with text counts as one token."""
    faults: tuple[str, ...]
    """What cannot be right, for a person; empty: nothing contradicts them."""
    input_tokens: float | None
    """Mean tokens of a prompt as reported."""
    output_tokens: float | None
    """Mean tokens of an answer."""
    short: int
    """Answers with fewer tokens than were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """What was found of one load."""

    key: str
    """Key of the load."""
    verdict: ServingVerdict
    """How it ended."""
    why: str
    """Why it is not `measured`, and what to do; empty where it is."""
    sessions: int
    """Sessions that have it."""
    outcomes: Mapping[Outcome, int]
    """Requests by outcome, warm-ups not counted."""
    metrics: tuple[Metric, ...]
    """METRICS in order."""
    requests_per_s: Interval | None
    """Completed requests per s, over sessions."""
    output_tokens_per_s: Interval | None
    """Tokens of completed requests per s, over sessions."""
    concurrency: float | None
    """Mean requests in flight."""
    good: Share | None
    """Share of requests within the limits; None where none are set."""
    saturation: Saturation
    """Whether requests piled up."""
    client: ClientCheck
    """Whether the client was the limit."""
    counting: Counting
    """Whether numbers of tokens can be right."""
    remarks: tuple[str, ...] = ()
    """What a reader of its numbers should know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingResult:
    """One measurement of an endpoint with every request."""

    semantics: int = SERVING_SEMANTICS
    """Generation of the meaning of the fields."""
    plan: ServePlan
    """What was planned."""
    endpoint: Endpoint
    """What it was measured on."""
    verdict: ServingVerdict
    """The worst of its loads."""
    sessions: tuple[ServeSession, ...]
    """Sessions in order, a row per load."""
    loads: tuple[LoadResult, ...]
    """What follows, per load in the order of the plan."""
    lost: tuple[LostSession, ...] = ()
    """Sessions that gave nothing, such as a local server that did not start."""
    notes: tuple[str, ...] = ()
    """What a reader of the numbers should know."""
    spent_s: float
    """Wall clock of all sessions, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingRun:
    """Everything that one call of `bench serve` measured."""

    result: ServingResult
    """What was found."""
    record: str
    """File of its record; empty: none was written."""
    folder: str
    """Where record and journal lie; empty: nothing was written."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Facts of the client's machine."""
    taken_up: int = 0
    """Loads of sessions that an earlier, interrupted run had taken."""

    @property
    def verdict(self) -> ServingVerdict:
        """Return the verdict of its result."""
        return self.result.verdict

    @property
    def exit_code(self) -> int:
        """0 every load is measured; 3 anything else."""
        return 0 if self.verdict == "measured" else 3
