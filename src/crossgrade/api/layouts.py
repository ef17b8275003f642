"""`layout search`: which layout of N chips serves a model within the aims."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from crossgrade.api.options import check_formats, check_routing, stored_as
from crossgrade.api.texts import Screen, json_text, screen_text
from crossgrade.errors import BadOption
from crossgrade.values.layout_search import LayoutSearch
from crossgrade.values.workload import CacheFormat

if TYPE_CHECKING:
    from crossgrade.predict.layouts.family import StepFamily
    from crossgrade.predict.layouts.pieces import Pieces
    from crossgrade.values.chip import Chip

Narrate = Callable[[str], None]
_LARGEST = 1 << 20
MOST_DRAFTS = 15
"""Drafted tokens per step, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutOptions:
    """What the user asks of `layout search`."""

    on: str
    """The chip, as typed."""
    chips: int
    """How many of them."""
    prompt: int = 4096
    """Tokens of a prompt."""
    output: int = 1024
    """Tokens of an answer."""
    cached: float = 0.0
    """Share of every prompt that a prefix cache holds."""
    drafts: int = 0
    """Tokens that are drafted per step, by one more block each."""
    accepted: float | None = None
    """Drafts per step that are right, on average; needed with drafts."""
    ttft_s: float | None = None
    """Most time to the first token at P50, s."""
    tpot_s: float | None = None
    """Most time per token at P50, s."""
    dtype: str | None = None
    """Weight format, None for the checkpoint's own."""
    quant: str | None = None
    """Quantisation of the weights."""
    kv: CacheFormat | None = None
    """Format of cached keys and values, None for the module's own."""
    skew: float | None = None
    """Exponent of the loads of routed experts, 0 for even ones, None without preference."""
    two_batch_overlap: bool = False
    """Whether the sequences of a rank are worked on as two batches in turn."""
    redundant: int = 0
    """Copies of routed experts beside the first of each."""
    stack: str | None = None
    """Stack whose kernels are timed, None for the usual one of the chip."""
    price_per_hour: float | None = None
    """Of one chip, in the user's currency."""
    chip_files: tuple[str, ...] = ()
    """Chip descriptions of the user."""
    calibrations: tuple[Path, ...] = ()
    """Records of `calibrate --points` of the chip."""

    def check(self) -> None:
        """Refuse values that make no sense.

        Raises:
            BadOption: names the option, the value and what is allowed.
        """
        for name in ("chips", "prompt", "output"):
            value = getattr(self, name)
            if not 1 <= value < _LARGEST:
                raise BadOption(f"--{name} {value}", hint="a whole number from 1 to 2^20")
        for name, value in (("--ttft", self.ttft_s), ("--tpot", self.tpot_s),
                            ("--price", self.price_per_hour)):  # fmt: skip
            if value is not None and not 0 < value < float("inf"):
                raise BadOption(f"{name} {value}", hint="a finite value above 0")
        if not 0 <= self.cached < 1:
            raise BadOption(f"--cached {self.cached}", hint="a share from 0 to below 1")
        if not 0 <= self.drafts <= MOST_DRAFTS:
            raise BadOption(f"--drafts {self.drafts}", hint=f"from 0 to {MOST_DRAFTS}")
        if (self.accepted is None) != (self.drafts == 0):
            raise BadOption("--drafts and --accepted go together", hint="--drafts 3 --accepted 1.4")
        if self.accepted is not None and not 0 <= self.accepted <= self.drafts:
            raise BadOption(f"--accepted {self.accepted}", hint=f"from 0 to {self.drafts}")
        check_formats(self.dtype, self.quant, self.kv)
        check_routing(self.skew, self.redundant, self.chips)


def search_layouts(
    model: str, options: LayoutOptions, *, narrate: Narrate = lambda _: None
) -> LayoutSearch:
    """Return the layouts and batches of a model on N chips that meet the aims.

    Args:
        model: preset, `config.json`, folder, `.pt2` or `package.module:factory`.
        options: chip, lengths and aims.
        narrate: gets one line per step that takes time.

    Raises:
        CrossgradeError: a name or a value is wrong, or the model cannot be built or captured.
    """
    options.check()
    with contextlib.redirect_stdout(sys.stderr):
        return _searched(model, options, narrate)


def serving_chip(on: str, chip_files: tuple[str, ...], stack: str | None) -> tuple[Chip, str]:
    """Return a chip and the stack that serves on it.

    Args:
        on: the chip, as typed.
        chip_files: descriptions of the user.
        stack: the stack asked for, None for the usual one.

    Raises:
        BadOption: no such chip or stack, it does not serve there, or memory is not published.
    """
    from crossgrade.api.catalog import chip, chosen_chips
    from crossgrade.predict.lowering.stack import load_stack, stack_names, usual_stack

    [(_, described)] = chosen_chips((on,), chip_files, chip)[:1]
    if stack is not None and stack not in stack_names():
        raise BadOption(f"--stack {stack}", hint=f"one of {', '.join(stack_names())}")
    name = stack or usual_stack(described.op_table)
    scheduler = load_stack(name).scheduler if name is not None else None
    if name is None or scheduler is None or not load_stack(name).runs_on(described.op_table):
        raise BadOption(f"no serving stack is known for {described.name}"
                        + (f" by the name {stack}" if stack else ""),
                        hint="`crossgrade assess --chips N` gives bounds there")  # fmt: skip
    if described.memory_capacity is None or described.memory_bandwidth is None:
        what = "capacity" if described.memory_capacity is None else "bandwidth"
        raise BadOption(f"{described.name}: memory {what} is not published",
                        hint="--chip-file with a value of yours")  # fmt: skip
    return described, name


def _searched(model: str, options: LayoutOptions, narrate: Narrate) -> LayoutSearch:
    from crossgrade.api.calibrating_kernels import knowledge_for
    from crossgrade.api.steps import model_steps
    from crossgrade.predict.layouts.search import Service, best_of, front_of, search
    from crossgrade.predict.lowering.stack import load_stack

    described, name = serving_chip(options.on, options.chip_files, options.stack)
    capacity, scheduler = described.memory_capacity, load_stack(name).scheduler
    assert capacity is not None and scheduler is not None  # noqa: PT018
    steps = model_steps(model, options.quant or options.dtype, narrate, kv=options.kv,
                        skew=options.skew)  # fmt: skip
    longest = options.prompt + options.output
    if steps.built.most_positions is not None and longest > steps.built.most_positions:
        raise BadOption(f"{longest:,} positions; {steps.name} has {steps.built.most_positions:,}",
                        hint="give a shorter --prompt or --output")  # fmt: skip
    family = steps.family(name)
    kept = int(options.prompt * options.cached)
    fresh = options.prompt - kept
    read = min(fresh, scheduler.max_tokens) if scheduler.chunked else fresh
    mean = options.prompt + options.output // 2
    service = Service(
        decode=_decode(family, mean, options.drafts), last=family.decode(longest - 1),
        prefill=family.prefill(read, kept),
        prefill_last=family.prefill(read, options.prompt - read),
        parts=fresh / read, chip=described,
        pace=1 + (options.accepted or 0.0),
        chips=options.chips, stack=name,
        knowledge=knowledge_for(described, calibrations=options.calibrations),
        output=options.output, usable=capacity.value * scheduler.memory,
        ttft_s=options.ttft_s, tpot_s=options.tpot_s, price_per_hour=options.price_per_hour,
        redundant=options.redundant, two_batch=options.two_batch_overlap,
    )  # fmt: skip
    narrate("pricing layouts and batches")
    found = search(service)
    return LayoutSearch(
        model=steps.name, weights=stored_as(steps.built.weights, options.kv),
        chip=described.name, chips=options.chips, stack=name, prompt=options.prompt,
        output=options.output, cached=options.cached, drafts=options.drafts,
        accepted=options.accepted or 0.0, ttft_aim_s=options.ttft_s, tpot_aim_s=options.tpot_s,
        usable_bytes=service.usable, considered=found.considered,
        front=front_of(found.points), best=best_of(found.points), rejected=found.rejected,
    )  # fmt: skip


def _decode(family: StepFamily, context: int, drafts: int) -> Pieces:
    """Return a decode step at a context, with the drafts that it verifies and makes."""
    from crossgrade.predict.layouts.drafts import drafted

    if not drafts:
        return family.decode(context)
    return drafted(family.decode(context, 1 + drafts), family.decode(context), drafts)


def render_layouts(
    found: LayoutSearch, *, as_json: bool = False, everything: bool = False,
    **screen: Unpack[Screen],
) -> str:  # fmt: skip
    """Return a search as text: JSON, tables on a screen, Markdown in a pipe."""
    if as_json:
        return json_text("layout search", found, found.verdict)
    from crossgrade.report.layouts import layouts_document

    return screen_text(layouts_document(found, everything=everything), screen)
