"""A service on layouts of a chip under a load: instances priced, simulated, and summed up.

Must not know what a user typed, nor how it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crossgrade.errors import BadOption
from crossgrade.predict.assumptions import assumptions
from crossgrade.predict.exchange import domain
from crossgrade.predict.layouts.cost import StepCost, step_cost
from crossgrade.predict.layouts.divided import Floats
from crossgrade.predict.layouts.family import FACTOR, LEAST, StepFamily
from crossgrade.predict.layouts.faults import layout_faults
from crossgrade.predict.layouts.service import Instance, Limits, cache_tokens, instance
from crossgrade.predict.layouts.step import ENDS
from crossgrade.predict.serving.pools import Pooled, Side, disaggregated, pooled
from crossgrade.predict.serving.request import NS, Ints, Load, Price
from crossgrade.predict.silicon.knowledge import Knowledge
from crossgrade.values.chip import Chip, Link
from crossgrade.values.layout import Layout
from crossgrade.values.simulated_service import (
    PERCENTILES,
    Latency,
    LatencyName,
    Outcome,
    Pool,
    Role,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """A service of one model on one chip under a load."""

    chip: Chip
    """One chip."""
    family: StepFamily
    """The model's steps, as its stack launches them."""
    knowledge: Knowledge
    """What is known of kernels."""
    load: Load
    """Requests."""
    roles: Mapping[Role, tuple[Layout, int]]
    """What instances do -> layout of one, and how many there are."""
    delay_s: float
    """Time between two steps in which nothing is computed, s."""
    ttft_s: float | None
    """Aim for the time to the first token, s."""
    tpot_s: float | None
    """Aim for the time per further token, s."""
    limits: Limits = Limits()
    """What is set otherwise than the stack has it."""

    @property
    def longest(self) -> int:
        """Return the tokens of the longest request."""
        return int((self.load.prompts + self.load.outputs).max())

    def outcomes(self) -> tuple[dict[str, Outcome], tuple[Pool, ...], Pooled]:
        """Return what came out at each end, the pools, and the requests at P50."""

        roles = self.roles
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

    def _served(self, made: Mapping[Role, Instance]) -> Pooled:
        """Return what instances of some prices make of the load."""

        sides = {
            role: Side(policy=made[role].policy, price=self._delayed(made[role].prices),
                       instances=many)
            for role, (_, many) in self.roles.items()
        }  # fmt: skip
        if "prefill" in sides:
            return disaggregated(self.load, sides["prefill"], sides["decode"], self._transfer)
        side = sides["both"]
        return pooled(self.load, side.policy, side.price, side.instances)

    def _contexts(self) -> list[int]:
        """Return the contexts whose steps are priced: powers of 4, up to the longest sequence."""
        contexts = [LEAST]
        while contexts[-1] < self.longest:
            contexts.append(contexts[-1] * FACTOR)
        most = self.family.most
        kept = [c for c in contexts if most is None or c < most]
        return kept if len(kept) > 1 else [max(self.longest // 2, 1), max(self.longest - 1, 2)]

    def _check(self, layout: Layout) -> None:
        """Refuse a layout that cannot run the model, or has no room for any request.

        Raises:
            BadOption: says why.
        """

        faults = list(layout_faults(self.family.decode(self._contexts()[0]), layout))
        if faults:
            raise BadOption(f"{layout.words}: {faults[0]}",
                            hint="`crossgrade layout search` lists those that do")  # fmt: skip
        room, shortest = self._room(layout), int((self.load.prompts + self.load.outputs).min())
        if room < shortest:
            raise BadOption(
                f"{layout.words} on {self.chip.name}: the cache of an instance has room for "
                f"{max(room, 0):,} tokens, a request takes {shortest:,}",
                hint="more ranks, a narrower --quant, or --kv fp8",
            )

    def _room(self, layout: Layout) -> int:
        """Return how many tokens the cache of an instance holds."""

        return cache_tokens(self.family, layout, self.chip, self.longest, self.limits)

    def _instance(self, layout: Layout, cost: StepCost, end: str) -> Instance:
        """Return an instance; requests that are longer than its cache are refused later."""

        found = instance(self.family, layout, self.chip, cost, end=end, longest=self.longest,
                         refuses=True, limits=self.limits)  # fmt: skip
        assert found is not None
        return found

    def _delayed(self, price: Price) -> Price:
        """Return a price with the scheduler's delay in every step."""
        delay = round(self.delay_s * NS)
        if not delay:
            return price

        def delayed(decoding: int, bucket: int, chunks: tuple[tuple[int, int], ...]) -> int:
            return price(decoding, bucket, chunks) + delay

        return delayed

    def link(self) -> Link:
        """Return the link between instances that read prompts and those that decode: the scale-up
        link where all chips are in one domain, else the scale-out link.

        Raises:
            BadOption: the chip's description has none.
        """
        chips = sum(layout.chips * many for layout, many in self.roles.values())
        found = self.chip.link("scale-up") if domain(self.chip, chips) == chips else None
        found = found or self.chip.link("scale-out")
        if found is None:
            raise BadOption(f"{self.chip.name}: no link between instances is described",
                            hint="--chip-file with a scale-out link of yours")  # fmt: skip
        return found

    def _transfer(self, prompts: Ints) -> Ints:
        """Return how long the cache of prompts is under way, ns.

        Over the link of as many ranks as the smaller instance has, at the middle of the assumed
        efficiency and latency.
        """
        rates = assumptions()
        ranks = min(layout.chips for layout, _ in self.roles.values())
        rate = self.link().bandwidth.value * ranks * rates["link_efficiency"].middle
        contexts = self._contexts()
        steps = [self.family.decode(context) for context in contexts]
        sizes = [sum(row.bytes for row in step.cache) / step.batch for step in steps]
        per_token = (sizes[-1] - sizes[0]) / (contexts[-1] - contexts[0])
        bytes_ = np.maximum(sizes[0] + (prompts - contexts[0]) * per_token, 0.0)
        latency = rates["collective_latency_s"].middle
        return np.asarray(np.round((bytes_ / rate + latency) * NS), dtype=np.int64)

    def _outcome(self, found: Pooled) -> Outcome:
        """Return what requests say together.

        Raises:
            BadOption: no request was served.
        """

        from crossgrade.values.simulated_service import Outcome

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

        aims = self.ttft_s, self.tpot_s
        if aims == (None, None):
            return None
        good = found.first >= 0
        if aims[0] is not None:
            good &= found.first - found.arrival <= aims[0] * NS
        if aims[1] is not None:
            good &= found.end - found.first <= np.maximum(found.outputs - 1, 0) * aims[1] * NS
        return float(good.mean())
