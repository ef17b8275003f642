"""A case of a model -> a module that takes tensors and gives tensors, with its inputs.

prefill reads a prompt and gives logits and the cache. decode reads new tokens beside a cache that a
prefill of the same model has filled, and gives logits and the longer cache. train is forward,
backward and optimiser; it gives the loss. Must not know targets.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch

from crossgrade.errors import CrossgradeError
from crossgrade.values.model_case import ModelCase
from crossgrade.values.operator_case import CannotRun
from crossgrade.values.precision import RUN_DTYPES, USER_NAMES
from crossgrade.workloads.built import routes
from crossgrade.workloads.factory import scalar_loss
from crossgrade.workloads.feeding import Arguments, feeding_of
from crossgrade.workloads.resolve import FoundModel
from crossgrade.workloads.running.carried import rebuilt, tensors_of
from crossgrade.workloads.running.weights import materialised

Room = Callable[[float], None]
_LEARNING_RATE = 1e-5
"""Small, so that repeated steps on one batch do not run away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One execution of a phase, ready to be called."""

    module: torch.nn.Module
    """`module(*inputs)` gives a tuple of tensors: logits or loss first, then the cache."""
    inputs: tuple[torch.Tensor, ...]
    """Its inputs on the device: token ids or such first, then the cache."""
    held_bytes: float
    """Memory of parameters, inputs and optimiser state, bytes (exact)."""
    least_bytes: float | None
    """Bytes that one execution reads and writes at least: every parameter, the cache given and the
    cache returned; None where not every parameter is read, or for training."""
    exportable: bool
    """Whether it is a pure function of its inputs, so that it may be exported as a graph."""


class Forward(torch.nn.Module):
    """A model with fixed arguments around tensors that come in."""

    def __init__(self, model: torch.nn.Module, args: Any, kwargs: Any) -> None:
        super().__init__()
        self.model = model
        # In a list, so that nothing in it is taken for a part of the module.
        self._template = [(list(args), dict(kwargs))]

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return logits, then the tensors of the cache."""
        args, kwargs = rebuilt(self._template[0], iter(inputs))
        result = self.model(*args, **kwargs)
        return tuple(tensors_of(dict(result) if isinstance(result, dict) else result))


class TrainStep(torch.nn.Module):
    """Forward, backward and one step of the optimiser."""

    def __init__(
        self, model: torch.nn.Module, args: Any, kwargs: Any, optimizer: torch.optim.Optimizer
    ) -> None:
        super().__init__()
        self.model = model
        self._template = [(list(args), dict(kwargs))]
        self._optimizer = optimizer

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the loss before the step."""
        args, kwargs = rebuilt(self._template[0], iter(inputs))
        loss = scalar_loss(self.model(*args, **kwargs))
        loss.backward()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return (loss.detach(),)


def execution_of(
    case: ModelCase,
    device: torch.device | str = "cpu",
    *,
    room: Room = lambda size: None,
) -> Execution:
    """Return a case with weights and inputs on a device.

    Equal cases share their weights while one is alive, but for training, which changes them.

    Args:
        case: the execution.
        device: where weights and inputs lie.
        room: told the bytes of the parameters before there are any; raises where they do not fit.

    Raises:
        CannotRun: it cannot be built or fed.
    """
    device = torch.device(device)
    try:
        module = _weighted(case, device, room)
        args, kwargs = _arguments(case, module, device)
    except CrossgradeError as error:
        raise CannotRun("bad-arguments", f"{case.op}: {error.message}") from error
    if case.phase == "train":
        return _training(case, module, args, kwargs)
    inputs = tuple(tensors_of((list(args), kwargs)))
    forward = Forward(module, args, kwargs).eval()
    held = _bytes(module.parameters()) + _bytes(inputs)
    return Execution(
        module=forward,
        inputs=inputs,
        held_bytes=held,
        least_bytes=None if routes(module) else held + _bytes(inputs[1:]),
        exportable=True,
    )


def _training(case: ModelCase, module: torch.nn.Module, args: Any, kwargs: Any) -> Execution:
    module.train().requires_grad_(True)
    optimizer = _optimizer(case, module)
    inputs = tuple(tensors_of((list(args), kwargs)))
    state = {"sgd": 0, "adamw": 2, "adamw-fp32": 2}[case.optimizer]
    return Execution(
        module=TrainStep(module, args, kwargs, optimizer),
        inputs=inputs,
        held_bytes=(2 + state) * _bytes(module.parameters()) + _bytes(inputs),
        least_bytes=None,
        exportable=False,
    )


def _optimizer(case: ModelCase, module: torch.nn.Module) -> torch.optim.Optimizer:
    if case.optimizer == "sgd":
        return torch.optim.SGD(module.parameters(), lr=_LEARNING_RATE)
    if case.optimizer == "adamw-fp32" and case.dtype != "float32":
        raise CannotRun(
            "unsupported-operator", "master weights in float32 are not run; --optimizer adamw is"
        )
    return torch.optim.AdamW(module.parameters(), lr=_LEARNING_RATE)


_alive: weakref.WeakValueDictionary[str, torch.nn.Module] = weakref.WeakValueDictionary()
"""Modules with values by what decides these, as long as somebody holds them."""


def _weighted(case: ModelCase, device: torch.device, room: Room) -> torch.nn.Module:
    """Return the module with values, in the format that is computed in."""
    if case.phase == "train":
        return _made(case, device, room)
    same = replace(case, phase="prefill", batch=1, tokens=1, context=0, sizes={})
    key = f"{same.key} {device}"
    module = _alive.get(key)
    if module is None:
        module = _alive[key] = _made(case, device, room)
    return module


def _made(case: ModelCase, device: torch.device, room: Room) -> torch.nn.Module:
    if not case.config or "crossgrade_model" in case.config:
        raise CannotRun("unsupported-operator", f"{case.model.name} is no model of transformers")
    user = USER_NAMES.get(case.dtype)
    if user not in RUN_DTYPES:
        raise CannotRun("unsupported-format", f"models are not run in {case.dtype}")
    found = FoundModel(ref=case.model, config=dict(case.config), path=None)
    # Built in its format, not converted: some buffers stay in float32 whatever the format.
    built = found.build(user)
    copies = 4 if case.phase == "train" else 1
    width = getattr(torch, case.compute or case.dtype).itemsize
    room(copies * width * sum(p.numel() for p in built.module.parameters()))
    module = materialised(built, seed=case.seed, folder=case.weights)
    return (module.to(getattr(torch, case.compute)) if case.compute else module).to(device)


def _arguments(case: ModelCase, module: torch.nn.Module, device: torch.device) -> Arguments:
    """Return the arguments of one execution, with random values where the builder gives zeros.

    Builders feed zeros because a capture reads no values. A cache is filled by the model itself,
    from random tokens too.
    """
    drawn = _Drawn(torch.Generator().manual_seed(case.seed), _vocabulary(module))
    handle = module.register_forward_pre_hook(drawn.before, with_kwargs=True)
    try:
        given = feeding_of(module).make_inputs(case.workload, device)
    finally:
        handle.remove()
    return drawn.arguments(*given)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Random values in the place of a builder's zeros, in the order of their use."""

    generator: torch.Generator
    vocabulary: int

    def before(self, _: torch.nn.Module, args: Any, kwargs: Any) -> Arguments:
        """Stand before a call that fills a cache."""
        return self.arguments(args, kwargs)

    def arguments(self, args: Any, kwargs: Any) -> Arguments:
        """Return arguments with random token ids, pictures and sound; labels follow their ids."""
        new: dict[int, torch.Tensor] = {}
        for name, value in (*((str(i), v) for i, v in enumerate(args)), *kwargs.items()):
            if isinstance(value, torch.Tensor) and id(value) not in new and not value.any():
                new[id(value)] = self._like(name, value)
        return (
            tuple(new.get(id(value), value) for value in args),
            {name: new.get(id(value), value) for name, value in kwargs.items()},
        )

    def _like(self, name: str, zeros: torch.Tensor) -> torch.Tensor:
        if zeros.is_floating_point():
            drawn = torch.randn(zeros.shape, generator=self.generator)
        elif name.endswith("input_ids"):
            drawn = torch.randint(self.vocabulary, zeros.shape, generator=self.generator)
        else:
            return zeros
        return drawn.to(zeros)


def _vocabulary(module: Any) -> int:
    table = module.get_input_embeddings() if hasattr(module, "get_input_embeddings") else None
    return int(getattr(table, "num_embeddings", 0) or 2)


def _bytes(tensors: Iterable[torch.Tensor]) -> float:
    return float(sum(t.numel() * t.element_size() for t in tensors))
