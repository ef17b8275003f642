"""`layout serve`: what a service on given layouts makes of a rate, of users, or of a trace."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

from crossgrade.api.service_options import ServiceOptions as ServiceOptions
from crossgrade.api.texts import Screen, json_text, screen_text
from crossgrade.errors import BadOption
from crossgrade.values.layout import Layout
from crossgrade.values.simulated_service import Pool, SimulatedService

if TYPE_CHECKING:
    from crossgrade.api.steps import ModelSteps
    from crossgrade.predict.layouts.cost import StepCost
    from crossgrade.predict.layouts.divided import Floats
    from crossgrade.predict.layouts.family import StepFamily
    from crossgrade.predict.layouts.service import Instance
    from crossgrade.predict.serving.pools import Pooled
    from crossgrade.predict.serving.request import Ints, Load, Price
    from crossgrade.predict.silicon.knowledge import Knowledge
    from crossgrade.values.chip import Chip
    from crossgrade.values.simulated_service import LatencyName, Outcome, Role

Narrate = Callable[[str], None]
ENDS = ("mid", "low", "high")
LEAST = 256
"""Shortest context whose steps are priced."""


def simulate_service(
    model: str, options: ServiceOptions, *, narrate: Narrate = lambda _: None
) -> SimulatedService:
    """Return what a service of a model makes of a load.

    Args:
        model: preset, `config.json`, folder, `.pt2` or `package.module:factory`.
        options: chip, layouts, load.
        narrate: gets one line per step that takes time.

    Raises:
        CrossgradeError: a name or a value is wrong, or the model cannot be built or captured, or
            has no room on the layout.
    """
    options.check()
    with contextlib.redirect_stdout(sys.stderr):
        return _simulated(model, options, narrate)


def _simulated(model: str, options: ServiceOptions, narrate: Narrate) -> SimulatedService:
    from crossgrade.api.calibrating_kernels import knowledge_for
    from crossgrade.api.layouts import serving_chip
    from crossgrade.api.steps import model_steps

    described, stack = serving_chip(options.on, options.chip_files, options.stack)
    load, words = _load(options)
    steps = model_steps(model, options.quant or options.dtype, narrate)
    longest = int((load.prompts + load.outputs).max())
    if steps.built.most_positions is not None and longest > steps.built.most_positions:
        raise BadOption(f"{longest:,} positions; {steps.name} has {steps.built.most_positions:,}",
                        hint="a shorter --prompt or --output, or another trace")  # fmt: skip
    family = steps.family(stack)
    knowledge = knowledge_for(described, calibrations=options.calibrations)
    desk = _Desk(options=options, chip=described, family=family, knowledge=knowledge, load=load,
                 longest=longest)  # fmt: skip
    narrate("pricing steps")
    outcomes, pools, moved = desk.outcomes()
    return _answer(steps, described, stack, options, desk, outcomes, pools, moved, words)


def _answer(
    steps: ModelSteps, chip: Chip, stack: str, options: ServiceOptions, desk: _Desk,
    outcomes: Mapping[str, Outcome], pools: tuple[Pool, ...], moved: Pooled, words: str,
) -> SimulatedService:  # fmt: skip
    arrivals = desk.load.arrivals
    span = (arrivals[-1] - arrivals[0]) / 1e9 if arrivals is not None else 0.0
    apart = options.prefill_instances > 0
    many = len(desk.load.prompts)
    return SimulatedService(
        model=steps.name, weights=f"{steps.built.weights.title} ({steps.built.weights.origin})",
        chip=chip.name, stack=stack, pools=pools, load=words, requests=many,
        refused=int((moved.first < 0).sum()), rate_per_s=many / span if span else None,
        scheduler_delay_s=options.scheduler_delay_s or 0.0,
        transfer_s=float(moved.transfer.mean()) / 1e9 if apart else None,
        transfer_link=desk.link()[0] if apart else "",
        ttft_aim_s=options.ttft_s, tpot_aim_s=options.tpot_s, outcomes=outcomes,
    )  # fmt: skip


def _load(options: ServiceOptions) -> tuple[Load, str]:
    """Return the requests, and what they are in words."""
    import numpy as np

    from crossgrade.predict.serving.request import NS, Load
    from crossgrade.serving.traces import read_trace
    from crossgrade.units import count

    if options.trace is not None:
        trace = read_trace(options.trace)
        most = options.requests or len(trace.offsets_s)
        prompts, outputs = (np.maximum(np.array(column[:most], dtype=np.int64), 1)
                            for column in (trace.input_tokens, trace.output_tokens))  # fmt: skip
        arrivals = np.array([round(at * NS) for at in trace.offsets_s[:most]], dtype=np.int64)
        words = f"{count(len(prompts))} requests of the trace {trace.name}"
    else:
        many = options.requests or 1000
        prompts = np.full(many, options.prompt or 4096, dtype=np.int64)
        outputs = np.full(many, options.output or 1024, dtype=np.int64)
        arrivals = None
        words = f"prompts of {count(prompts[0])} tokens, answers of {count(outputs[0])}"
        if options.rate is not None:
            gaps = np.random.default_rng(options.seed).exponential(1 / options.rate, many)
            arrivals = np.round(np.cumsum(gaps) * NS).astype(np.int64)
            words = f"{count(many)} requests at {options.rate:g} per second, {words}"
        else:
            words = f"{count(many)} requests of {count(options.users or 0)} users, {words}"
    cached = np.minimum((prompts * options.cached).astype(np.int64), prompts - 1)
    if options.cached:
        words += f", {options.cached:.0%} of each prompt cached"
    return Load(prompts=prompts, outputs=outputs, arrivals=arrivals, users=options.users or 0,
                cached=cached if options.cached else None), words  # fmt: skip


@dataclass(slots=True, kw_only=True)
class _Desk:
    """One service, at every end of the band."""

    options: ServiceOptions
    chip: Chip
    family: StepFamily
    knowledge: Knowledge
    load: Load
    longest: int

    def outcomes(self) -> tuple[dict[str, Outcome], tuple[Pool, ...], Pooled]:
        """Return what came out at each end, the pools, and the requests at P50."""
        from crossgrade.predict.layouts.cost import step_cost

        roles = self._roles()
        for layout, _ in roles.values():
            self._check(layout)
        costs = {
            role: step_cost(self.family, layout, self.chip, self.knowledge,
                            contexts=self._contexts(), longest=int(self.load.prompts.max()))
            for role, (layout, _) in roles.items()
        }  # fmt: skip
        made = {
            end: {role: self._instance(layout, costs[role], end)
                  for role, (layout, _) in roles.items()}
            for end in ENDS
        }  # fmt: skip
        found = {end: self._served(one) for end, one in made.items()}
        pools = tuple(
            Pool(role=role, layout=layout, instances=many,
                 cache_tokens=made["mid"][role].policy.capacity)
            for role, (layout, many) in roles.items()
        )  # fmt: skip
        return {end: self._outcome(one) for end, one in found.items()}, pools, found["mid"]

    def _roles(self) -> dict[Role, tuple[Layout, int]]:
        """Return what instances do -> layout of one, and how many there are."""
        options = self.options
        if not options.prefill_instances:
            return {"both": (options.layout(), options.instances)}
        return {"prefill": (options.prefill_layout(), options.prefill_instances),
                "decode": (options.layout(), options.instances)}  # fmt: skip

    def _served(self, made: Mapping[Role, Instance]) -> Pooled:
        """Return what instances of some prices make of the load."""
        from crossgrade.predict.serving.pools import Side, disaggregated, pooled

        sides = {
            role: Side(policy=made[role].policy, price=self._delayed(made[role].prices),
                       instances=many)
            for role, (_, many) in self._roles().items()
        }  # fmt: skip
        if "prefill" in sides:
            return disaggregated(self.load, sides["prefill"], sides["decode"], self._transfer)
        side = sides["both"]
        return pooled(self.load, side.policy, side.price, side.instances)

    def _contexts(self) -> list[int]:
        """Return the contexts whose steps are priced: powers of 4, up to the longest sequence."""
        contexts = [LEAST]
        while contexts[-1] < self.longest:
            contexts.append(contexts[-1] * 4)
        most = self.family.most
        kept = [c for c in contexts if most is None or c < most]
        return kept if len(kept) > 1 else [max(self.longest // 2, 1), max(self.longest - 1, 2)]

    def _check(self, layout: Layout) -> None:
        """Refuse a layout that cannot run the model, or has no room for any request.

        Raises:
            BadOption: says why.
        """
        from crossgrade.predict.layouts.faults import layout_faults

        faults = list(layout_faults(self.family.decode(self._contexts()[0]), layout))
        if faults:
            raise BadOption(f"{layout.words}: {faults[0]}",
                            hint="`crossgrade layout search` lists those that do")  # fmt: skip
        room, shortest = self._room(layout), int((self.load.prompts + self.load.outputs).min())
        if room < shortest:
            raise BadOption(
                f"{layout.words} on {self.chip.name}: the cache of an instance has room for "
                f"{max(room, 0):,} tokens, a request takes {shortest:,}",
                hint="more ranks, or a narrower --quant",
            )

    def _room(self, layout: Layout) -> int:
        """Return how many tokens the cache of an instance holds."""
        from crossgrade.predict.layouts.service import cache_tokens

        return cache_tokens(self.family, layout, self.chip, self.longest)

    def _instance(self, layout: Layout, cost: StepCost, end: str) -> Instance:
        """Return an instance; requests that are longer than its cache are refused later."""
        from crossgrade.predict.layouts.service import instance

        found = instance(self.family, layout, self.chip, cost, end=end, longest=self.longest,
                         refuses=True)  # fmt: skip
        assert found is not None
        return found

    def _delayed(self, price: Price) -> Price:
        """Return a price with the scheduler's delay in every step."""
        delay = round((self.options.scheduler_delay_s or 0.0) * 1e9)
        if not delay:
            return price

        def delayed(decoding: int, bucket: int, chunks: tuple[tuple[int, int], ...]) -> int:
            return price(decoding, bucket, chunks) + delay

        return delayed

    def link(self) -> tuple[str, float]:
        """Return the link between instances that read and those that decode, and its rate, byte/s.

        The scale-up link where all chips are in one domain, else the scale-out link; of as many
        ranks as the smaller instance has, at the middle of the assumed efficiency.

        Raises:
            BadOption: the chip's description has none.
        """
        from crossgrade.predict.assumptions import assumptions

        options = self.options
        sides = options.prefill_layout(), options.layout()
        chips = sides[0].chips * options.prefill_instances + sides[1].chips * options.instances
        inner = self.chip.link("scale-up")
        near = inner is not None and (not inner.domain or chips <= inner.domain)
        found = inner if near else self.chip.link("scale-out")
        if found is None:
            raise BadOption(f"{self.chip.name}: no link between instances is described",
                            hint="--chip-file with a scale-out link of yours")  # fmt: skip
        rate = assumptions()["link_efficiency"]
        share = (rate.optimistic + rate.pessimistic) / 2
        ranks = min(side.chips for side in sides)
        return found.name, found.bandwidth.value * ranks * share

    def _transfer(self, prompts: Ints) -> Ints:
        """Return how long the cache of prompts is under way, ns."""
        import numpy as np

        from crossgrade.predict.assumptions import assumptions

        contexts = self._contexts()
        steps = [self.family.decode(context) for context in contexts]
        sizes = [sum(row.bytes for row in step.cache) / step.batch for step in steps]
        per_token = (sizes[-1] - sizes[0]) / (contexts[-1] - contexts[0])
        bytes_ = np.maximum(sizes[0] + (np.asarray(prompts) - contexts[0]) * per_token, 0.0)
        start = assumptions()["collective_latency_s"]
        latency = (start.optimistic + start.pessimistic) / 2
        moved: Ints = np.round((bytes_ / self.link()[1] + latency) * 1e9).astype(np.int64)
        return moved

    def _outcome(self, found: Pooled) -> Outcome:
        """Return what requests say together.

        Raises:
            BadOption: no request was served.
        """
        import numpy as np

        from crossgrade.predict.serving.request import NS
        from crossgrade.values.simulated_service import PERCENTILES, Latency, Outcome

        served = found.first >= 0
        if not served.any():
            raise BadOption("no request has room in the cache of an instance", hint="more ranks")
        arrival, first, end, outputs = (
            column[served] for column in (found.arrival, found.first, found.end, found.outputs)
        )
        many = outputs > 1
        columns: dict[LatencyName, Floats] = {"ttft": (first - arrival) / NS}
        if many.any():
            columns["tpot"] = (end - first)[many] / (outputs[many] - 1) / NS
        columns["e2e"] = (end - arrival) / NS
        span = max((end.max() - arrival.min()) / NS, 1e-9)
        return Outcome(
            latencies={
                name: Latency(mean_s=float(column.mean()), percentiles_s={
                    p: float(np.percentile(column, p)) for p in PERCENTILES})
                for name, column in columns.items()
            },
            tokens_per_s=float(outputs.sum() / span), requests_per_s=float(len(outputs) / span),
            busy=float(np.mean(found.busy) / NS / span),
            within_aims=self._within(found),
            read_again=found.again / float(self.load.prompts.sum()),
            most_running=found.most_running,
        )  # fmt: skip

    def _within(self, found: Pooled) -> float | None:
        """Return the share of all requests that meet every aim."""
        import numpy as np

        aims = self.options.ttft_s, self.options.tpot_s
        if aims == (None, None):
            return None
        good = found.first >= 0
        if aims[0] is not None:
            good &= found.first - found.arrival <= aims[0] * 1e9
        if aims[1] is not None:
            good &= found.end - found.first <= np.maximum(found.outputs - 1, 0) * aims[1] * 1e9
        return float(good.mean())


def render_service(
    found: SimulatedService, *, as_json: bool = False, **screen: Unpack[Screen]
) -> str:
    """Return a simulated service as text: JSON, tables on a screen, Markdown in a pipe."""
    if as_json:
        return json_text("layout serve", found, found.verdict)
    from crossgrade.report.services import service_document

    return screen_text(service_document(found), screen)
