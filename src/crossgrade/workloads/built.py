"""What a builder hands to the capture.

Must not know how execution is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crossgrade.values.workload import PHASES, Item, Phase

if TYPE_CHECKING:
    import torch

    from crossgrade.values.workload import Workload
    from crossgrade.workloads.checkpoint import CheckpointFormat

Tensors = Iterator[tuple[str, "torch.Tensor"]]
INSTALL_TORCH = (
    "pip install 'crossgrade[torch]'; if it is installed, `crossgrade doctor` says what is wrong"
)
"""What to do where torch or transformers cannot be imported."""


CACHES = ("past_key_values", "cache_params", "state", "mems", "past_buckets_states")
"""What models of transformers call the state that they take and give, the usual name first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSize:
    """A size that only some models have; the user gives it as `--size NAME=VALUE`."""

    default: int
    """Value where the user gives none."""
    meaning: str
    """What it counts, and its unit."""
    least: int = 1
    """Smallest value."""
    most: int = 1 << 31
    """Largest value."""
    step: int = 1
    """The value must be a multiple of this."""
    default_for: Callable[[int, Mapping[str, int]], int] | None = None
    """Gives the default from the tokens and the sizes given, where it follows from them."""

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        multiple = f", a multiple of {self.step}" if self.step > 1 else ""
        most = f" to {self.most:,}" if self.most < 1 << 31 else " or more"
        return f"{self.meaning}: {self.least:,}{most}{multiple}; {self.default:,} if not given"

    def takes(self, value: int) -> bool:
        """Return whether a value may be given."""
        return self.least <= value <= self.most and value % self.step == 0


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
    own_sizes: Mapping[str, OwnSize] = field(default_factory=dict)
    """Further sizes that the inputs follow, by name."""
    phases: tuple[Phase, ...] = PHASES
    """Phases that the model has."""
    defaults: Mapping[Phase, Mapping[str, int]] = field(default_factory=dict)
    """Sizes per phase where the usual default does not suit the model."""
    most_positions: int | None = None
    """Cached and new tokens at most, None without a limit."""
    items: Mapping[Phase, Item] = field(default_factory=dict)
    """What rates count, where it is neither tokens nor executions by the sizes."""
    describe: Callable[[Workload], str] | None = None
    """Says in words what one execution works on, None for the usual words."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions and choices that shaped the module."""
    notes: tuple[str, ...] = ()
    """What the module leaves out, in words."""
    cache_arguments: frozenset[str] = frozenset(CACHES[:2])
    """Names of arguments that carry state over steps."""

    def inputs(
        self, workload: Workload, device: torch.device
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return positional and named arguments for one execution."""
        return self.make_inputs(workload, device)

    def item(self, phase: Phase) -> Item:
        """Return what rates of a phase count."""
        usual: Item = "tokens" if self.sizes & {"batch", "tokens"} else "executions"
        return self.items.get(phase, usual)

    def is_cache(self, path: str) -> bool:
        """Return whether an argument path leads into the cache."""
        return any(part in self.cache_arguments for part in path.split("."))


def routes(module: torch.nn.Module) -> bool:
    """Return whether a model of transformers routes tokens to experts, and so may skip weights."""
    return any("Experts" in type(m).__name__ for m in module.modules())


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
