"""Services of one model on any layout, chip and stack: steps are captured and priced once.

Must not know where loads or measurements come from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crossgrade.api.steps import ModelSteps
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.values.chip import Chip
from crossgrade.values.layout import Layout
from crossgrade.values.workload import CacheFormat

if TYPE_CHECKING:
    from crossgrade.predict.layouts.cost import StepCost
    from crossgrade.predict.layouts.family import StepFamily
    from crossgrade.predict.layouts.service import Instance, Limits

CONTEXTS = (256, 1024, 4096, 16384)
"""Contexts whose decode steps are priced."""


@dataclass(slots=True, kw_only=True)
class Desk:
    """A model whose services are asked for one after the other."""

    steps: ModelSteps
    contexts: tuple[int, ...] = field(default_factory=lambda: CONTEXTS)
    families: dict[tuple[str, CacheFormat | None], StepFamily] = field(default_factory=dict)
    costs: dict[tuple[object, ...], StepCost] = field(default_factory=dict)

    def instance(
        self, stack: str, chip: Chip, layout: Layout, *, longest: int, users: int, end: str,
        kv: CacheFormat | None = None, limits: Limits | None = None,
    ) -> Instance | None:  # fmt: skip
        """Return an instance with the stack's own limits; None where a sequence has no room.

        Args:
            stack: name of it.
            chip: one chip; of two with one name the first one counts.
            layout: of the instance.
            longest: tokens of the longest sequence, prompt and output together.
            users: requests that are open at once.
            end: `low`, `mid` or `high`.
            kv: format of cached keys and values, None for the module's own.
            limits: what is set otherwise than the stack has it.
        """
        from crossgrade.predict.layouts.service import Limits, instance

        cost = self._cost(stack, chip, layout, kv)
        return instance(self.families[stack, kv], layout, chip, cost, longest=longest, users=users,
                        end=end, limits=limits or Limits())  # fmt: skip

    def _cost(self, stack: str, chip: Chip, layout: Layout, kv: CacheFormat | None) -> StepCost:
        from crossgrade.predict.layouts.cost import step_cost

        if (stack, kv) not in self.families:
            self.families[stack, kv] = self.steps.family(stack, kv)
        key = (stack, kv, chip.name, layout)
        if key not in self.costs:
            self.costs[key] = step_cost(
                self.families[stack, kv], layout, chip, shipped(), contexts=self.contexts,
                longest=self.contexts[-1],
            )  # fmt: skip
        return self.costs[key]
