"""The user's own code: `package.module:factory` -> a module and its example inputs.

Runs that code. The factory returns `(module, args)`, `(module, args, kwargs)` or a module with an
`example_inputs()` method. It is called under fake tensors first, so that a large model costs
nothing, and for real where that fails. Parameters named `batch`, `tokens`, `context` and `phase`
are passed where the factory has them. Must not know how execution is recorded.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from typing import TYPE_CHECKING, Any

from crossgrade.errors import FactoryFailed, MissingExtra
from crossgrade.workloads.built import INSTALL_TORCH, BuiltModel, Tensors, tensors_under
from crossgrade.workloads.checkpoint import as_module, from_user

if TYPE_CHECKING:
    import torch

    from crossgrade.values.workload import Workload


def build(spec: str, *, dtype: str | None) -> BuiltModel:
    """Return the module that the factory gives.

    Raises:
        FactoryFailed: it cannot be imported, raises, or returns something else.
    """
    factory = _import(spec)
    made = _call(factory, {}, spec)
    module, args, kwargs = _unpack(made, spec)
    takes = frozenset(_parameters(factory)) & {"batch", "tokens", "context", "phase"}

    def inputs(workload: Workload, device: torch.device) -> tuple[tuple[Any, ...], dict[str, Any]]:
        chosen_args, chosen_kwargs = args, kwargs
        if takes:
            sizes = {name: getattr(workload, name) for name in takes}
            _, chosen_args, chosen_kwargs = _unpack(_call(factory, sizes, spec), spec)
        moved = moved_to([list(chosen_args), chosen_kwargs], device)
        return tuple(moved[0]), moved[1]

    notes = () if takes else ("sizes are those of the factory's example inputs",)
    return BuiltModel(
        module=module,
        weights=from_user(dtype) if dtype else as_module(),
        make_inputs=inputs,
        loss=scalar_loss,
        cache_of=cache_of_outputs,
        set_training=module.train,
        sizes=takes - {"phase"},
        environment={"factory": spec},
        notes=notes,
    )


def _import(spec: str) -> Any:
    """Return the factory; the working folder is importable, as with `python -m`."""
    name, _, attribute = spec.partition(":")
    try:
        import torch  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        # torch raises RuntimeError where an extension that it loads by itself is broken.
        raise MissingExtra(f"a factory needs torch: {error}", hint=INSTALL_TORCH) from error
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:
        raise FactoryFailed(
            f"cannot import '{spec}': {type(error).__name__}: {error}",
            hint="run where `python -c 'import module'` works",
        ) from error
    if not callable(found):
        raise FactoryFailed(f"'{spec}' is not callable", hint="name a function or a class")
    return found


def _parameters(factory: Any) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        return ()


def _call(factory: Any, sizes: dict[str, Any], spec: str) -> Any:
    """Return what the factory gives, on fake tensors if it can."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils._python_dispatch import _disable_current_modes

    # The capture's modes must not see the user's construction of a module.
    with _disable_current_modes():
        try:
            with FakeTensorMode(allow_non_fake_inputs=True):
                return factory(**sizes)
        except (Exception, SystemExit):
            pass  # it may read values; then it is run for real
        return _call_for_real(factory, sizes, spec)


def _call_for_real(factory: Any, sizes: dict[str, Any], spec: str) -> Any:
    """Return what the factory gives on real tensors."""
    try:
        return factory(**sizes)
    except (Exception, SystemExit) as error:
        raise FactoryFailed(
            f"'{spec}' raised {type(error).__name__}: {error}",
            hint="call it alone in Python; it must return (module, example_args)",
        ) from error


def _unpack(made: Any, spec: str) -> tuple[torch.nn.Module, tuple[Any, ...], dict[str, Any]]:
    """Return module, positional and named example inputs."""
    import torch

    if isinstance(made, torch.nn.Module) and hasattr(made, "example_inputs"):
        example_inputs: Any = made.example_inputs
        made = (made, example_inputs())
    if isinstance(made, tuple) and len(made) in (2, 3) and isinstance(made[0], torch.nn.Module):
        args = made[1] if isinstance(made[1], (tuple, list)) else (made[1],)
        if isinstance(made[1], dict):
            return made[0], (), dict(made[1])
        return made[0], tuple(args), dict(made[2]) if len(made) == 3 else {}
    raise FactoryFailed(
        f"'{spec}' gave {type(made).__name__}, not a module with example inputs",
        hint="return (module, (tensor, ...)) or (module, (tensor, ...), {'name': tensor})",
    )


def moved_to(value: Any, device: torch.device) -> Any:
    """Return nested inputs as tensors on `device`; called under the capture's fake mode."""
    import torch

    if isinstance(value, torch.Tensor):
        return torch.empty_strided(
            tuple(value.shape), tuple(value.stride()), dtype=value.dtype, device=device
        )
    if isinstance(value, (list, tuple)):
        return type(value)(moved_to(v, device) for v in value)
    if isinstance(value, dict):
        return {k: moved_to(v, device) for k, v in value.items()}
    return value


def scalar_loss(result: Any) -> torch.Tensor:
    """Return `.loss` where the result has one, else the mean of its floating tensors."""
    import torch

    loss = getattr(result, "loss", None)
    if loss is None and isinstance(result, dict):
        loss = result.get("loss")
    if isinstance(loss, torch.Tensor):
        return loss
    tensors = [t for _, t in tensors_under(result, "result") if t.is_floating_point()]
    if not tensors:
        raise FactoryFailed("the model's result has no floating tensor to take a loss of")
    total = tensors[0].float().mean()
    for tensor in tensors[1:]:
        total = total + tensor.float().mean()
    return total


def cache_of_outputs(result: Any) -> Tensors:
    """Yield the tensors of a `past_key_values` that the result has."""
    cache = getattr(result, "past_key_values", None)
    if cache is not None:
        yield from tensors_under(cache, "past_key_values")
