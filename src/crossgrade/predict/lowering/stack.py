"""What a stack launches, as data: rules with their values and sources, read from `stacks/*.toml`.

Must not know captures or kernels.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

DEFAULTS: Mapping[str, bool | str] = {
    "graph": "calls", "tables": "step", "add_norm": False, "head_norm": "own", "rope": "own",
    "cache": "own", "latent_cache": "own", "merge_projections": False, "split_decode": "never",
    "latent_rope": "", "prepare_prefill": "", "prepare_decode": "", "embedding_norm": False,
    "head_norm_copies": False, "gather_last": "never", "absorbed_format": "activations",
    "absorbed_layout": False, "quantise": True, "norm_quantise": False, "act_quantise": False,
    "without_fp8": "as-stored",
}  # fmt: skip
"""Every rule and what holds where a stack says nothing: one launch per call or pattern.

graph: `calls` launches what was captured call by call, `compiled` joins patterns and neighbours of
vector calls, `serving` has caches, masks and merged attention besides, and does not train.
tables: tables of positions and arithmetic on weights in the `step` or `ahead` of it.
add_norm: a residual sum is part of the norm that reads it.
embedding_norm: the first norm looks up the embedding.
head_norm: norms of query and key heads `own`, `together` or `with-rope`.
head_norm_copies: heads are copied before their norm.
rope: `own` per tensor, `together`, `with-cache` or `with-attention`.
latent_rope: the same for attention over a latent, where it differs.
cache: writes to the cache `own` or `with-attention`.
latent_cache: `own` or `norm-rope-write`, one launch up to the written latent.
prepare_prefill, prepare_decode: how a compiler joins what precedes attention, `halves` or `whole`.
merge_projections: weights that multiply one activation lie side by side.
absorbed_format: absorbed weights are multiplied in the format of `activations` or of `weights`.
absorbed_layout: absorbed weights are laid out anew in each step.
split_decode: a second launch joins partial results of decode attention, `never`, `always` or
`unless-window`.
gather_last: the last rows are picked before the product with the head, `never`, where a `prompt`
has more of them, or `always`.
quantise: activations before products of quantised weights; norm_quantise, act_quantise: the norm or
activation before does it.
without_fp8: on a chip without an fp8 engine, weights in fp8 are read `as-stored` and widened in the
product, or were converted to `int8` ahead, and activations are in the step.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One decision of a stack."""

    name: str
    """A key of DEFAULTS."""
    value: bool | str
    """What holds."""
    source: str
    """Where that is written or was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertLaunches:
    """What routed experts launch, for weights of some formats."""

    formats: tuple[str, ...]
    """Formats of the experts' weights as kernel rows name them; empty for every other one."""
    launches: tuple[tuple[str, ...], ...]
    """Per launch the parts that it covers: `topk`, `permute`, `up`, `act`, `down`, `combine`; any
    other word names a helper that covers none."""
    source: str
    """Where that is written or was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """How a stack serves where nobody sets its options."""

    mixed: bool
    """Whether decoding goes on in steps that prefill."""
    chunked: bool
    """Whether a prompt may be read in parts."""
    reserves: bool
    """Whether a request is admitted only when all of its output has room in the cache."""
    max_tokens: int
    """Tokens of one step."""
    max_running: int
    """Sequences in work at once."""
    memory: float
    """Share of a chip's memory that weights, activations and cache may take."""
    ahead: bool
    """Whether a step is put together when the one before it begins."""
    source: str
    """Where that is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A named stack."""

    name: str
    """Such as `vllm`."""
    title: str
    """In words, with the version that was looked at."""
    rules: Mapping[str, Rule]
    """Rules that were set, by name."""
    experts: tuple[ExpertLaunches, ...]
    """How routed experts run; the first entry that fits holds."""
    serves: tuple[str, ...] = ()
    """Operator tables of the chips for which it is taken unless another stack is asked for."""
    only: tuple[str, ...] = ()
    """Operator tables of the chips that it runs on; empty where it is not bound to any."""
    only_source: str = ""
    """Why."""
    collectives: tuple[str, ...] = ("nccl",)
    """Whose collectives it calls, as kernel rows name them; the fastest is taken for each size."""
    scheduler: Scheduler | None = None
    """How it serves; None for a stack that does not."""

    def __getitem__(self, rule: str) -> Any:
        """Return the value of a rule."""
        return self.rules[rule].value if rule in self.rules else DEFAULTS[rule]

    @property
    def trains(self) -> bool:
        """Return whether it can train: it rewrites no cache and leaves no gradient out."""
        return bool(self["graph"] != "serving")

    def runs_on(self, op_table: str) -> bool:
        """Return whether it runs on chips with an operator table, such as `npu`."""
        return not self.only or op_table in self.only

    def experts_for(self, format: str) -> tuple[tuple[str, ...], ...] | None:
        """Return the launches of experts with weights of a format, None where nothing is said."""
        for entry in self.experts:
            if not entry.formats or format in entry.formats:
                return entry.launches
        return None


def stack_names() -> tuple[str, ...]:
    """Return the names of the shipped stacks."""
    folder = resources.files(__package__).joinpath("stacks")
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".toml")))


@functools.cache
def load_stack(name: str) -> Stack:
    """Return a shipped stack.

    Raises:
        ValueError: no such stack, or a rule that does not exist.
    """
    if name not in stack_names():
        raise ValueError(f"no stack {name!r}; there are {', '.join(stack_names())}")
    text = resources.files(__package__).joinpath("stacks", f"{name}.toml").read_text("utf-8")
    data = tomllib.loads(text)
    base = load_stack(data["extends"]) if "extends" in data else None
    rules = dict(base.rules) if base else {}
    for rule, row in data.get("rules", {}).items():
        if rule not in DEFAULTS:
            raise ValueError(f"stack {name}: no rule {rule!r}")
        rules[rule] = Rule(name=rule, value=row["value"], source=row["source"])
    own = tuple(_experts(row) for row in data.get("experts", ()))
    return Stack(
        name=name,
        title=data["title"],
        rules=rules,
        experts=own + (base.experts if base else ()),
        serves=tuple(data.get("serves", ())),
        only=tuple(data.get("only", {}).get("tables", ())),
        only_source=data.get("only", {}).get("source", ""),
        collectives=_collectives(data, base),
        scheduler=_scheduler(data, base),
    )


def _collectives(data: Mapping[str, Any], base: Stack | None) -> tuple[str, ...]:
    if "collectives" in data:
        return tuple(data["collectives"]["names"])
    return base.collectives if base else ("nccl",)


def _scheduler(data: Mapping[str, Any], base: Stack | None) -> Scheduler | None:
    if "scheduler" in data:
        return Scheduler(**data["scheduler"])
    return base.scheduler if base else None


@functools.cache
def usual_stack(op_table: str) -> str | None:
    """Return the name of the stack that is taken for chips with an operator table, if there is one.

    Args:
        op_table: as a chip's description names it, such as `npu`.
    """
    return next((name for name in stack_names() if op_table in load_stack(name).serves), None)


def _experts(row: Mapping[str, Any]) -> ExpertLaunches:
    return ExpertLaunches(
        formats=tuple(row.get("formats", ())),
        launches=tuple(tuple(launch.split("+")) for launch in row["launches"]),
        source=row["source"],
    )
