"""Runs operators on fake tensors and writes nothing down: for what comes before a step.

Filling a cache runs the whole model. Calls that were met before are repeated without asking the
fake tensors again, as the recorder does, and the bookkeeping is left out. Must not know models.
"""

from __future__ import annotations

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from crossgrade.capture.policies import policy_for
from crossgrade.capture.recorder import NOT_OPERATORS, Writes, beside, flattened
from crossgrade.capture.replay import Replays, answered, key_of
from crossgrade.capture.shares import follow


class Rehearsal(TorchDispatchMode):
    """Executes and forgets while active."""

    def __init__(self, known: Replays) -> None:
        """Execute; `known` are calls that were met before under the same fake mode."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._writes: Writes = {}
        self._known = known

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: nothing is compiled under a capture, and the guard costs every call."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one operator."""
        kwargs = kwargs or {}
        if func.namespace in NOT_OPERATORS:
            return beside(func, args, kwargs)
        policy = policy_for(func, args)
        if policy is not None:
            return policy.answer(*args, **kwargs)
        template, tensors, written = flattened(func, args, kwargs, self._writes)
        key = key_of(func, template, tensors)
        result = answered(self._known, key, func, args, kwargs, tensors, written)
        follow(func, args, result)
        return result
