"""The answer of `assess`: one model, some phases, some chips.

Everything a renderer or a record needs, as values. Must not know how it was found out or how it
is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from crossgrade.values.bench import BenchVerdict, Interval
from crossgrade.values.beside import Place
from crossgrade.values.breakdown import EndBreakdown, MemoryTimeline, ModuleTime
from crossgrade.values.claim import Claim
from crossgrade.values.evidence import Band, NumberClass
from crossgrade.values.finding import Finding
from crossgrade.values.layout import Layout
from crossgrade.values.support import SupportLevel
from crossgrade.values.training import TrainingFigures
from crossgrade.values.workload import Item, ModelRef, Phase

Verdict = Literal["runs", "runs-with-findings", "needs-N-chips", "blocked", "unknown"]
"""Closed list; `needs-N-chips` is shown with its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFigures:
    """Bytes of one phase, over all chips."""

    kind: NumberClass = "exact"
    """How the figures are known, given the format and the capture; fused ones are predicted."""
    weights: float
    """Parameters and buffers in the format below, scales included."""
    weights_format: str
    """Format in words, and where it stands."""
    kv: float
    """Cache or recurrent state at the end of the step."""
    gradients: float
    """Gradients alive at the peak."""
    optimizer: float
    """Optimiser state."""
    activations_eager: float
    """Everything else alive at the peak of eager execution."""
    activations_fused: float
    """The same where fused kernels run; predicted."""
    converted: float
    """Weights in another format that fused kernels read, beside the checkpoint's; predicted."""
    peak_eager: float
    """Sum with eager activations."""
    peak_fused: float
    """Sum with fused activations and converted weights; it decides how many chips are needed.
    Predicted."""
    by_format: Mapping[str, float]
    """Bytes of parameters by storage format."""
    usable_per_chip: float | None
    """Bytes of a chip that count as usable; None unknown."""
    least_chips: int | None
    """Chips that the fused peak needs as the layout divides it; None: unknown where
    `usable_per_chip` is, else no number is enough."""
    least_chips_eager: int | None
    """Chips that the eager peak needs; None unknown."""
    peak_per_chip: float | None = None
    """Fused peak of one chip, where chips hold unlike shares of the rows above; predicted."""


Tier = Literal["T0", "T1", "T2", "T3"]
"""T0: data sheet and starting parameters. T1: parameters of other chips. T2: calibrated on this
chip. T3: measured table of this chip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedFigures:
    """Predicted time of one phase."""

    time_s: Band
    """One execution, s."""
    tokens_per_s: Band
    """Over all chips."""
    tokens_per_s_per_chip: Band
    """For one chip."""
    tokens_per_s_per_watt: Band | None
    """Per watt of the published power limits."""
    tokens_per_price: Band | None
    """Tokens per unit of the user's price; None without a price."""
    price_per_hour: float | None
    """The user's price of one chip for an hour; None without."""
    binds: str
    """What takes most of the time at the fused end."""
    share_by_bound: Mapping[str, float]
    """Share of the fused time by what binds."""
    share_by_bound_eager: Mapping[str, float]
    """Share of the eager time by what binds."""
    kernels_fused: int
    """Launches at the fused end."""
    kernels_eager: int
    """Launches at the eager end."""
    network_s: Band
    """Lower bound of collectives."""
    unknown_rates: tuple[str, ...]
    """Precisions without a published peak."""
    fused: EndBreakdown
    """The fused end by operator."""
    eager: EndBreakdown
    """The eager end by operator."""
    modules: tuple[ModuleTime, ...]
    """Both ends by part of the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankFigures:
    """Bytes on the fullest rank of a layout; predicted."""

    weights: float
    """Parameters and buffers."""
    cache: float
    """Cache of the sequences that are in work on it."""
    activations: float
    """What else is alive at once, not divided: an upper bound."""
    peak: float
    """All of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelPart:
    """Predicted time of all kernels of one kind in one phase."""

    family: str
    """Family of the kernels, such as `matmul`."""
    op: str
    """What they do."""
    format: str
    """Arithmetic and operands."""
    launches: int
    """How many are launched."""
    low_s: float
    """P10 of all of them together, s."""
    mid_s: float
    """P50, s."""
    high_s: float
    """P90, s."""
    roofline_s: float | None
    """What the data sheet alone would permit: the slower of arithmetic and traffic, s; None on a
    layout, and for collectives."""
    binds: str
    """What takes most of P50: `compute`, `vector`, `memory`, `launch` or `network`."""
    tier: Tier
    """What the time rests on."""
    basis: str
    """The same, for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFigures:
    """Predicted time of one phase as a named stack runs it, from models of its kernels."""

    stack: str
    """Name of the stack."""
    low_s: float
    """P10 of one execution, s."""
    mid_s: float
    """P50, s."""
    high_s: float
    """P90, s."""
    tokens_per_s: float
    """New tokens (or executions) per second over all chips, at P50."""
    launches: int
    """Kernels of one execution."""
    network_s: float | None
    """Part of P50 that collectives take, s: of ideal shards a lower bound at assumed rates, on a
    layout from kernel models, which are among the parts; None where no link is described, and P50
    is then without them."""
    host_s: float
    """Part of P50 in which the device waits for the host, s, at assumed rates."""
    tiers: Mapping[Tier, float]
    """Share of the kernels' time by what it rests on, 0 to 1."""
    parts: tuple[KernelPart, ...]
    """By kind of kernel, the longest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelFigures:
    """Operators of one support level."""

    level: SupportLevel
    """How they run."""
    operators: int
    """Distinct overloads."""
    calls: int
    """Calls."""
    time_share: float | None
    """Share of predicted device time, call by call; None where no time is predicted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorFigures:
    """One operator on one chip."""

    op: str
    """Overload with namespace."""
    level: SupportLevel
    """How it runs."""
    calls: int
    """Calls."""
    call_share: float
    """Share of launching calls."""
    time_share: float | None
    """Share of predicted device time; None where no time is predicted."""
    dtypes: tuple[str, ...]
    """Formats of its tensors."""
    via: str
    """Registered operator that does the work, where it is another."""
    inner: tuple[tuple[str, int], ...]
    """What its calls dissolve into there."""
    host_syncs: int
    """Host reads that its calls cause there."""
    limits: str
    """Documented limits."""
    evidence: tuple[str, ...]
    """Table rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimComparison:
    """A published result beside our band at the same conditions."""

    claim: Claim
    """What was said."""
    predicted: Band | None
    """Our band for the claim's metric and conditions; None where it cannot be formed."""
    inside: bool | None
    """Whether the claim lies in the band."""
    remark: str
    """What our figure leaves out, or why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredTime:
    """A time that a record has for the same phase, sizes and format on such a device."""

    kind: NumberClass = "measured"
    """How it is known."""
    target: str
    """Runtime and device that it was measured on, such as `compile:cpu`."""
    device: str
    """Name of the device, as its runtime gives it."""
    runtime: str
    """Runtime and version, as the target gives it."""
    weights: str
    """`random`, or the name of the folder of a checkpoint."""
    time_s: Interval
    """One execution on one device, s, with its 95 % interval."""
    tokens_per_s: Interval
    """Units of `item` of the phase per s."""
    verdict: BenchVerdict
    """`measured`: this time is known as well as the measurement asked for. `noisy`: it is not."""
    sessions: int
    """Sessions with a sample of it."""
    place: Place | None
    """Where it lies in the predicted band; None without a band, or where that is for several
    chips."""
    created: str
    """When it was measured."""
    record: str
    """File of the record, from the folder of records on."""
    digest: str
    """Digest of the record."""
    remarks: tuple[str, ...] = ()
    """What a reader should know, such as another version of the runtime than is here now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseAssessment:
    """One phase on one chip."""

    phase: Phase
    """The phase."""
    batch: int
    """Sequences."""
    tokens: int
    """New tokens per sequence."""
    context: int
    """Cached tokens per sequence."""
    item: Item
    """What rates count."""
    verdict: Verdict
    """The answer."""
    layout: Layout
    """How many chips the figures are for."""
    calls: int
    """Captured calls."""
    distinct_calls: int
    """Distinct ones."""
    flops: float
    """Nominal matrix operations of one execution."""
    memory: MemoryFigures
    """Bytes."""
    speed: SpeedFigures | None
    """Time; None where the chip's bandwidth is unknown."""
    levels: tuple[LevelFigures, ...]
    """Operators by support level."""
    operators: tuple[OperatorFigures, ...]
    """Operators, the most time first."""
    findings: tuple[Finding, ...]
    """What to act on, the worst first."""
    claims: tuple[ClaimComparison, ...]
    """Published results."""
    rank: RankFigures | None = None
    """Memory of one rank; None where no layout was given."""
    stack: StackFigures | None = None
    """Time as a named stack runs it; None where no stack is known for the chip, or none can run the
    phase, or no time is predicted."""
    step: TrainingFigures | None = None
    """How a training step is run and what its time is made of; None outside training, and where
    chips are ideal shards."""
    measured: tuple[MeasuredTime, ...] = ()
    """Times of one device from records, those known as well as asked first, the fastest first; for
    one chip they are the answer, and `speed` stands beside them."""
    measured_near: tuple[str, ...] = ()
    """Options of the same phase that records do have, where none has these."""
    capture_digest: str
    """SHA-256 of the capture's columns."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Sizes that only this model has, by name."""
    inputs: str = ""
    """What one execution works on, in words; empty: what `item` and the sizes say."""
    training: str = ""
    """What is trained, how it is updated and shared out, in words; empty outside training."""

    @property
    def answer(self) -> MeasuredTime | None:
        """Return the measured time that answers in place of the band; None: the band does."""
        return self.measured[0] if self.measured and self.layout.chips == 1 else None

    @property
    def items(self) -> int:
        """What all chips get done in the time of one execution, in units of `item`."""
        one = self.batch * self.tokens if self.item == "tokens" else self.batch
        return one * self.layout.copies


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantFigure:
    """A constant of a chip with the document that states it."""

    kind: NumberClass
    """`claimed` by the source, or `measured` here."""
    name: str
    """Such as `memory_bandwidth` or `peaks.matrix.bf16`."""
    value: float
    """In SI base units."""
    unit: str
    """`FLOP/s`, `byte`, `byte/s`, `W`, `Hz`, `1`."""
    scope: str
    """What it counts for: `die`, `package`, `card` or `node`."""
    source: str
    """Title of the document."""
    url: str
    """Where it is."""
    date: str
    """When it was published, or its commit."""
    note: str
    """Condition or derivation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipAssessment:
    """One chip."""

    passed: str
    """What the user typed."""
    chip: str
    """Name of the chip."""
    title: str
    """The vendor's name."""
    scope: str
    """What one chip is."""
    operator_table: str
    """Table and version asked."""
    verdict: Verdict
    """The worst of its phases."""
    least_chips: int | None
    """The largest need of its phases."""
    phases: tuple[PhaseAssessment, ...]
    """One entry per phase."""
    constants: tuple[ConstantFigure, ...]
    """Constants, each with its source."""
    disagreements: tuple[ConstantFigure, ...]
    """What other sources say of constants; not used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssumptionFigure:
    """A rate that no data sheet gives."""

    name: str
    """Such as `memory_efficiency`."""
    unit: str
    """`1` or `s`."""
    optimistic: float
    """Used at the `fused+graph` end."""
    pessimistic: float
    """Used at the `eager` end."""
    source: str
    """Why these values."""
    url: str
    """What the source names; empty where the value is ours alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """The whole answer."""

    model: ModelRef
    """The model."""
    parameters: int
    """Parameters, tied ones once."""
    weights_format: str
    """Format that weights are counted in."""
    environment: Mapping[str, str]
    """Versions that shaped the capture."""
    notes: tuple[str, ...]
    """What was left out or decided."""
    assumptions: tuple[AssumptionFigure, ...]
    """Assumed rates."""
    timelines: tuple[MemoryTimeline, ...]
    """Memory over time, one entry per phase; the same for every chip."""
    chips: tuple[ChipAssessment, ...]
    """One entry per `--on`, in that order."""
    verdict: Verdict
    """The worst over the chips."""

    @property
    def exit_code(self) -> int:
        """0 it runs; 1 something is blocked; 3 something is unknown and nothing blocked."""
        return {"blocked": 1, "unknown": 3}.get(self.verdict, 0)


_RANK: tuple[Verdict, ...] = ("runs", "runs-with-findings", "needs-N-chips", "unknown", "blocked")


def worst(verdicts: tuple[Verdict, ...]) -> Verdict:
    """Return the worst verdict; `runs` for none."""
    return max(verdicts, key=_RANK.index, default="runs")


def verdict_text(verdict: Verdict, least_chips: int | None) -> str:
    """Return the verdict with its number, such as `needs-7-chips`."""
    return verdict.replace("N", str(least_chips)) if verdict == "needs-N-chips" else verdict
