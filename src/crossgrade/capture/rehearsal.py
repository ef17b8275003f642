"""Runs operators on fake tensors and writes nothing down: for what comes before a step.

Filling a cache runs the whole model. Calls that were met before are repeated without asking the
fake tensors again, as the recorder does, and the bookkeeping is left out. Must not know models.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from crossgrade.capture.policies import policy_for
from crossgrade.capture.recorder import NOT_OPERATORS, Writes, beside, flattened
from crossgrade.capture.replay import Replay
from crossgrade.capture.shares import follow


class Rehearsal(TorchDispatchMode):
    """Executes and forgets while active."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._writes: Writes = {}
        self._replays: dict[Any, Replay | None] = {}

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
        strided = all(t.layout is torch.strided for t in tensors)
        shapes = tuple([(t.shape, t.stride(), t.dtype, t.device) for t in tensors if strided])
        key = (func, template, shapes)
        replay = self._replays.get(key) if strided else None
        if replay is not None:
            result = replay.result(tensors)
        else:
            result = func(*args, **kwargs)
            self._replays[key] = Replay.of(result, tensors, written)
        follow(func, args, result)
        return result
