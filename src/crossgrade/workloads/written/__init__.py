"""Models that transformers does not have, in plain torch: diffusion, graphs, recommendation.

Each is written from its paper. A configuration names one under `crossgrade_model` and gives its
sizes; nothing of it is executed. Must not know how execution is recorded.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from crossgrade.errors import BadModelFile, MissingExtra, UnknownArchitecture
from crossgrade.workloads.built import BuiltModel
from crossgrade.workloads.checkpoint import from_config, from_user
from crossgrade.workloads.factory import scalar_loss

if TYPE_CHECKING:
    from crossgrade.workloads.built import Tensors

_MODULES = {
    "diffusion-transformer": "diffusion",
    "two-stream-diffusion-transformer": "two_streams",
    "graph-network": "graph",
    "recommender": "recommender",
}
"""Name in a configuration -> module of this folder that has `Sizes` and `make`."""
_LARGEST = 1 << 31
_ABOUT = ("crossgrade_model", "source", "dtype")
_Sizes = TypeVar("_Sizes")


def build(config: Mapping[str, Any], *, name: str, dtype: str | None) -> BuiltModel:
    """Return the model that a configuration describes, on the meta device.

    Args:
        config: `crossgrade_model`, `dtype`, `source`, and the sizes that the model takes.
        name: what to call the model in messages.
        dtype: the user's weight format, None for the configuration's.

    Raises:
        UnknownArchitecture: there is no model of that name.
        BadModelFile: a size is missing, unknown or impossible.
        MissingExtra: torch is absent.
    """
    kind = config["crossgrade_model"]
    if not isinstance(kind, str) or kind not in _MODULES:
        raise UnknownArchitecture(
            f"{name}: no model '{kind}'", hint=f"one of {', '.join(sorted(_MODULES))}"
        )
    torch = _torch()
    written = importlib.import_module(f"{__name__}.{_MODULES[kind]}")
    weights = from_user(dtype) if dtype else from_config(config)
    sizes = sizes_of(written.Sizes, config, name)
    try:
        with torch.device("meta"):
            module = written.make(sizes).to(getattr(torch, weights.base or "bfloat16"))
    except (ValueError, RuntimeError) as error:
        raise BadModelFile(
            f"{name}: {error}", hint="sizes in the configuration contradict each other"
        ) from error
    feeding = written.feeding(sizes, module)
    return BuiltModel(
        module=module,
        weights=weights,
        loss=scalar_loss,
        cache_of=_no_cache,
        set_training=module.train,
        environment={"class": type(module).__name__},
        notes=feeding.notes,
        **feeding.fields(),
    )


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra(
            f"building a model needs torch: {error}", hint="pip install 'crossgrade[torch]'"
        ) from error
    return torch


def sizes_of(kind: type[_Sizes], config: Mapping[str, Any], name: str) -> _Sizes:
    """Return the sizes of a model, every one of them given and nothing else.

    Raises:
        BadModelFile: names the entry.
    """
    known = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    given = {k: v for k, v in config.items() if k not in _ABOUT}
    for key in (*(k for k in known if k not in given), *(k for k in given if k not in known)):
        what = "is missing" if key in known else "is not a size of this model"
        raise BadModelFile(f"{name}: {key} {what}", hint=f"it takes {', '.join(known)}")
    for key, value in given.items():
        rows = value if isinstance(value, list) else [value]
        if not rows or any(
            isinstance(v, bool) or not isinstance(v, int) or not 1 <= v < _LARGEST for v in rows
        ):
            raise BadModelFile(f"{name}: {key} is {value!r}", hint="whole numbers from 1 to 2^31")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})


def _no_cache(result: Any) -> Tensors:
    """Yield nothing: none of these models keeps a cache."""
    return iter(())
