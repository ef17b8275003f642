"""What a builder hands to the capture.

Must not know how execution is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from crossgrade.values.workload import Workload
    from crossgrade.workloads.checkpoint import CheckpointFormat

Tensors = Iterator[tuple[str, "torch.Tensor"]]
INSTALL_TORCH = (
    "pip install 'crossgrade[torch]'; if it is installed, `crossgrade doctor` says what is wrong"
)
"""What to do where torch or transformers cannot be imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltModel:
    """A module on no device, with what is needed to run it."""

    module: torch.nn.Module
    """Its tensors are meta, fake or real; their contents are never read."""
    weights: CheckpointFormat
    """How the checkpoint stores the parameters."""
    make_inputs: Callable[[Workload, torch.device], tuple[tuple[Any, ...], dict[str, Any]]]
    """Gives positional and named arguments, on the device passed."""
    loss: Callable[[Any], torch.Tensor]
    """Gives the scalar to differentiate from the module's result."""
    cache_of: Callable[[Any], Tensors]
    """Yields the tensors of the cache from the result."""
    set_training: Callable[[bool], object] | None = None
    """Switches between training and inference, None where the module cannot."""
    sizes: frozenset[str] = frozenset({"batch", "tokens", "context"})
    """Which sizes of a workload the inputs follow; the others are the builder's own."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions and choices that shaped the module."""
    notes: tuple[str, ...] = ()
    """What the module leaves out, in words."""
    cache_arguments: frozenset[str] = frozenset({"past_key_values", "cache_params"})
    """Names of arguments that carry state over steps."""

    def inputs(
        self, workload: Workload, device: torch.device
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return positional and named arguments for one execution."""
        return self.make_inputs(workload, device)

    def is_cache(self, path: str) -> bool:
        """Return whether an argument path leads into the cache."""
        return any(part in self.cache_arguments for part in path.split("."))


def tensors_under(value: Any, name: str) -> Tensors:
    """Yield every tensor reachable through attributes, lists and dicts, with its path."""
    import torch

    seen: set[int] = set()
    stack: list[tuple[str, Any]] = [(name, value)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, torch.Tensor):
            yield path, item
        elif id(item) not in seen and not isinstance(item, (str, bytes, int, float, type)):
            seen.add(id(item))
            if isinstance(item, Mapping):
                stack.extend((f"{path}.{k}", v) for k, v in item.items())
            elif isinstance(item, (list, tuple)):
                stack.extend((f"{path}.{i}", v) for i, v in enumerate(item))
            elif hasattr(item, "__dict__") and not isinstance(item, torch.nn.Module):
                stack.extend((f"{path}.{k}", v) for k, v in vars(item).items())
