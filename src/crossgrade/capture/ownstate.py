"""State that a module keeps in attributes of its own from one step to the next.

Most models pass their cache in and out; some keep it in plain attributes. Must not know what is
recorded.
"""

from __future__ import annotations

from types import TracebackType

import torch

from crossgrade.workloads.built import Tensors


class OwnState:
    """Finds tensors that steps leave in a module's attributes; takes them away at the end."""

    def __init__(self, module: torch.nn.Module) -> None:
        """Remember the attributes as they are before any step."""
        self._module = module
        self._before = dict(_attributes(module))

    def tensors(self) -> Tensors:
        """Yield what was left since, with its path."""
        names = {id(child): name for name, child in self._module.named_modules()}
        for (child, name), value in _attributes(self._module):
            if isinstance(value, torch.Tensor) and self._before.get((child, name)) is not value:
                yield f"{names[id(child)]}.{name}", value

    def __enter__(self) -> OwnState:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the attributes back, so that the next execution starts afresh."""
        for (child, name), value in list(_attributes(self._module)):
            old = self._before.get((child, name))
            if isinstance(value, torch.Tensor) and old is not value:
                object.__setattr__(child, name, old)


def _attributes(
    module: torch.nn.Module,
) -> list[tuple[tuple[torch.nn.Module, str], torch.Tensor | None]]:
    """Return plain attributes that hold a tensor, or nothing yet."""
    return [
        ((child, name), value)
        for child in module.modules()
        for name, value in vars(child).items()
        if value is None or isinstance(value, torch.Tensor)
    ]
