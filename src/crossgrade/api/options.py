"""What the user asks of `assess`, checked before any work. Must not know how it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from crossgrade.errors import BadOption
from crossgrade.values.layout import SHARDS, Layout, Shard
from crossgrade.values.precision import USER_DTYPES
from crossgrade.values.quantisation import QUANTISATIONS
from crossgrade.values.training import (
    OFFLOADS,
    PRODUCTS,
    RECOMPUTES,
    Offload,
    Products,
    Recompute,
    TrainingPlan,
)
from crossgrade.values.workload import (
    CACHE_FORMATS,
    OPTIMIZERS,
    PHASES,
    CacheFormat,
    Optimizer,
    Phase,
)

if TYPE_CHECKING:
    from crossgrade.workloads.checkpoint import CheckpointFormat

_LARGEST = 1 << 31
STEEPEST = 3.0
"""Largest exponent of the loads of experts; 1.01 and 1.2 were measured."""
DEGREES = ("tp", "pp", "dp", "cp", "ep")
"""Options that make a layout."""


def check_formats(dtype: str | None, quant: str | None, kv: str | None) -> None:
    """Refuse a format of weights or of a cache that is not known, or two for the weights.

    Raises:
        BadOption: names the option, the value and what is allowed.
    """
    if dtype is not None and dtype not in USER_DTYPES:
        raise BadOption(f"--dtype {dtype}", hint=f"one of {', '.join(USER_DTYPES)}")
    if quant is not None and dtype is not None:
        raise BadOption(f"--quant {quant} and --dtype {dtype}", hint="give one")
    if quant is not None and quant not in QUANTISATIONS:
        raise BadOption(f"--quant {quant}", hint=f"one of {', '.join(QUANTISATIONS)}")
    if kv is not None and kv not in CACHE_FORMATS:
        raise BadOption(f"--kv {kv}", hint=f"one of {', '.join(CACHE_FORMATS)}")


def check_routing(skew: float | None, redundant: int, ep: int | None) -> None:
    """Refuse loads of experts that are none, or copies that no rank would have.

    Raises:
        BadOption: names the option, the value and what is allowed.
    """
    if skew is not None and not 0 <= skew <= STEEPEST:
        raise BadOption(f"--skew {skew}", hint=f"an exponent from 0 (even) to {STEEPEST:g}")
    if not 0 <= redundant < _LARGEST:
        raise BadOption(f"--redundant {redundant}", hint="0 or more")
    if redundant and (ep is None or ep < 2):
        raise BadOption(f"--redundant {redundant} without --ep",
                        hint="copies are shared out by ranks of --ep")  # fmt: skip


def stored_as(weights: CheckpointFormat, kv: CacheFormat | None) -> str:
    """Return in words what weights, and where it was asked for a cache, are counted as."""
    cache = "" if kv is None else f"; keys and values as {kv} (--kv)"
    return f"{weights.title} ({weights.origin}){cache}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessOptions:
    """What the user asked of `assess`."""

    on: tuple[str, ...]
    """Chips, as typed."""
    phases: tuple[Phase, ...] = ()
    """Phases, in order; none given: prefill, and decode where the model has a cache."""
    batch: int | None = None
    """Sequences, None for 1."""
    tokens: int | None = None
    """Tokens per sequence, None for the phase's default."""
    context: int | None = None
    """Cached tokens, None for the phase's default."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Sizes that only some models have, by name."""
    dtype: str | None = None
    """Weight format, None for the checkpoint's own."""
    quant: str | None = None
    """Quantisation of the weights, one of QUANTISATIONS, None for none but the checkpoint's own."""
    kv: CacheFormat | None = None
    """Format of cached keys and values, None for the module's own."""
    optimizer: Optimizer = "adamw"
    """What a training step updates parameters with."""
    lora_rank: int | None = None
    """Rank of adapters that alone are trained, None for training every parameter."""
    lora_targets: tuple[str, ...] = ()
    """Last names of the layers that get adapters; none given: linear layers of blocks."""
    stack: str | None = None
    """Stack whose kernels are timed, None for the one that is usual on each chip."""
    shard: Shard = "none"
    """What data-parallel chips share out in training."""
    chips: int | None = None
    """Number of chips, None for as many as are needed, or as the degrees below make."""
    tp: int | None = None
    """Tensor parallel degree; None: no layout is asked for, or 1."""
    pp: int | None = None
    """Pipeline parallel degree, None for 1."""
    dp: int | None = None
    """Replicas of attention, None for as many as the chips allow."""
    cp: int | None = None
    """Context parallel degree, None for 1."""
    redundant: int = 0
    """Copies of routed experts beside the first of each."""
    two_batch_overlap: bool = False
    """Whether the sequences of a rank are worked on as two batches in turn."""
    skew: float | None = None
    """Exponent of the loads of routed experts, 0 for even ones, None without preference."""
    ep: int | None = None
    """Expert parallel degree, None for 1: every expert is divided over all ranks of a stage."""
    micro_batch: int | None = None
    """Training on a layout: sequences that a replica works on at a time, None for 1."""
    interleave: int | None = None
    """Training on a layout: chunks of blocks per pipeline stage, None for 1."""
    recompute: Recompute = "none"
    """Training: what the backward pass works out again."""
    sequence_parallel: bool = False
    """Training: whether tensor-parallel ranks share out tokens where they do the same."""
    overlap: bool = True
    """Training: whether collectives of replicas run beside the computation."""
    offload: Offload = "none"
    """Training: what lies in the memory of the host."""
    products: Products = "as-computed"
    """Training: format of products by weights and of their gradients."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """Chip -> price of one chip per hour, in the user's currency."""
    chip_files: tuple[str, ...] = ()
    """Chip descriptions of the user; a chip that `on` does not name comes after the others."""
    calibrations: tuple[Path, ...] = ()
    """Records of `calibrate --points`, each used for its chip, before the user's own."""
    tables: tuple[tuple[str, Path], ...] = ()
    """(chip, file of measured kernels): interpolated where it knows a kind, before every fit."""
    measured_in: tuple[str, ...] = ()
    """Folders with records of `bench model`, beside the user's own records."""
    measured: bool = True
    """Whether measured times are looked for at all."""

    def check(self) -> None:
        """Refuse values that make no sense.

        Raises:
            BadOption: names the option, the value and what is allowed.
        """
        if self.phases == ("train",) and self.context:
            raise BadOption(f"--context {self.context}: a training step caches nothing")
        for name, given in (("--on", self.on), ("--phase", self.phases)):
            if len(set(given)) < len(given):
                raise BadOption(f"{name} names one thing twice: {', '.join(given)}")
        if not self.on and not self.chip_files:
            raise BadOption("no chip given", hint="add --on ascend-950dt; repeat it to compare")
        if any(phase not in PHASES for phase in self.phases):
            raise BadOption(f"phases {self.phases!r}", hint=f"one or more of {', '.join(PHASES)}")
        sizes = (
            ("--batch", self.batch, 1),
            ("--tokens", self.tokens, 1),
            ("--context", self.context, 0),
            ("--chips", self.chips, 1),
            ("--micro-batch", self.micro_batch, 1),
            ("--interleave", self.interleave, 1),
            *((f"--{name}", getattr(self, name), 1) for name in DEGREES),
        )
        for name, value, least in sizes:
            if value is not None and not least <= value < _LARGEST:
                raise BadOption(f"{name} {value}", hint=f"a whole number from {least} to 2^31")
        check_formats(self.dtype, self.quant, self.kv)
        check_routing(self.skew, self.redundant, self.ep)
        if self.kv is not None and self.phases == ("train",):
            raise BadOption(f"--kv {self.kv}: a training step caches nothing")
        self._check_training()
        self._check_stack()
        self.layout()
        self.plan()
        for chip, price in self.prices.items():
            if not (0 < price < float("inf")):
                raise BadOption(f"--price {chip}={price}", hint="a finite amount above 0")

    @property
    def weights(self) -> str | None:
        """Return the weight format that was asked for by either option; None: the checkpoint's."""
        return self.quant or self.dtype

    def layout(self) -> Layout | None:
        """Return the layout that the degrees make; None where none was given.

        Raises:
            BadOption: they do not make the number of chips, or training does not know one.
        """
        given = {name: getattr(self, name) for name in DEGREES if getattr(self, name) is not None}
        if not given:
            if self.two_batch_overlap:
                raise BadOption("--two-batch-overlap without a layout", hint="add --tp or --ep")
            return None
        trains = "train" in self.phases
        if trains and self.two_batch_overlap:
            raise BadOption("--two-batch-overlap belongs to inference")
        if trains and len(self.phases) > 1:
            raise BadOption("--phase train on a layout stands alone",
                            hint="ask for the other phases by themselves")  # fmt: skip
        if trains and self.ep is not None:
            raise BadOption("--ep belongs to inference",
                            hint="in training, --tp shares out experts too; --shard full shares "
                            "their weights")  # fmt: skip
        if trains and self.cp is not None:
            raise BadOption("--cp belongs to inference", hint="leave it out")
        tp, pp, cp = self.tp or 1, self.pp or 1, self.cp or 1
        dp = self.dp
        if dp is None:
            # Experts that are shared by more ranks than tp has need replicas of attention.
            wanted = self.chips or max(tp * cp, self.ep or 1) * pp
            dp = max(wanted // (tp * cp * pp), 1)
        chips = tp * dp * cp * pp
        if self.chips not in (None, chips):
            ranks = " x ".join(
                f"{name} {n}"
                for name, n in (("tp", tp), ("dp", dp), ("cp", cp), ("pp", pp))
                if name != "cp" or n > 1
            )
            raise BadOption(f"--chips {self.chips}: {ranks} are {chips}",
                            hint=f"--chips {chips}, or other degrees")  # fmt: skip
        ep = self.ep or 1
        if tp * dp * cp % ep:
            context = f" x cp {cp}" * (cp > 1)
            raise BadOption(f"--ep {ep} does not divide tp {tp} x dp {dp}{context}",
                            hint="experts are shared by ranks of one pipeline stage")  # fmt: skip
        return Layout(chips=chips, kind="sharded", tp=tp, dp=dp, cp=cp, pp=pp, ep=ep,
                      shard=self.shard, redundant=self.redundant,
                      two_batch=self.two_batch_overlap)  # fmt: skip

    def plan(self) -> TrainingPlan | None:
        """Return how a training step is run on the layout; None where no layout was given.

        Raises:
            BadOption: replicas cannot share the batch evenly, or the schedule cannot run it.
        """
        layout = self.layout()
        if layout is None or "train" not in self.phases:
            return None
        micro, chunks = self.micro_batch or 1, self.interleave or 1
        together = layout.dp * micro
        batch = self.batch or together * layout.pp
        if batch % together:
            raise BadOption(
                f"--batch {batch} does not divide into {layout.dp} replicas of micro-batches "
                f"of {micro}",
                hint=f"a multiple of {together}",
            )
        if chunks > 1 and layout.pp == 1:
            raise BadOption(f"--interleave {chunks} without stages", hint="add --pp")
        if chunks > 1 and batch // together % layout.pp:
            raise BadOption(f"--interleave {chunks}: {batch // together} micro-batches do not "
                            f"divide over {layout.pp} stages",
                            hint=f"--batch {together * layout.pp} or a multiple")  # fmt: skip
        return TrainingPlan(
            batch=batch, micro_batch=micro, interleave=chunks, recompute=self.recompute,
            sequence_parallel=self.sequence_parallel, overlap=self.overlap, offload=self.offload,
            products=self.products,
        )  # fmt: skip

    def _check_stack(self) -> None:
        """Refuse a stack that is not known, or that would have to train.

        Raises:
            BadOption: names the option.
        """
        from crossgrade.predict.lowering.stack import load_stack, stack_names

        if self.stack is None:
            return
        if self.stack not in stack_names():
            raise BadOption(f"--stack {self.stack}", hint=f"one of {', '.join(stack_names())}")
        if "train" in self.phases and not load_stack(self.stack).trains:
            raise BadOption(f"--stack {self.stack} serves and does not train",
                            hint="--stack compile or --stack eager")  # fmt: skip

    def _check_training(self) -> None:
        """Refuse options of training where something else is asked for too.

        Raises:
            BadOption: names the option.
        """
        for name, value, known in (
            ("--optimizer", self.optimizer, OPTIMIZERS),
            ("--shard", self.shard, SHARDS),
            ("--recompute", self.recompute, RECOMPUTES),
            ("--offload", self.offload, OFFLOADS),
            ("--products", self.products, PRODUCTS),
        ):
            if value not in known:
                raise BadOption(f"{name} {value}", hint=f"one of {', '.join(known)}")
        if self.lora_rank is not None and not 1 <= self.lora_rank < _LARGEST:
            raise BadOption(f"--lora-rank {self.lora_rank}", hint="a whole number of at least 1")
        if self.lora_targets and self.lora_rank is None:
            raise BadOption("--lora-targets without --lora-rank", hint="add --lora-rank 16")
        anywhere, on_layout = self._given_to_train()
        trains, spread = self.phases == ("train",), self.layout() is not None
        for name in (*anywhere, *on_layout):
            if not trains:
                raise BadOption(f"{name} belongs to training", hint="add --phase train, alone")
        if on_layout and not spread:
            raise BadOption(f"{on_layout[0]} needs a layout", hint="add --dp 1, or other degrees")

    def _given_to_train(self) -> tuple[list[str], list[str]]:
        """Return the options of training that were given: all others, and those of a layout."""
        anywhere = {
            "--optimizer": self.optimizer != "adamw",
            "--lora-rank": self.lora_rank is not None,
            "--shard": self.shard != "none",
        }
        on_layout = {
            "--micro-batch": self.micro_batch is not None,
            "--interleave": self.interleave is not None,
            "--recompute": self.recompute != "none",
            "--sequence-parallel": self.sequence_parallel,
            "--no-overlap": not self.overlap,
            "--offload": self.offload != "none",
            "--products": self.products != "as-computed",
        }
        return [n for n, on in anywhere.items() if on], [n for n, on in on_layout.items() if on]
