"""A `.pt2` archive of `torch.export` -> a module with its example inputs.

Loading one runs PyTorch's deserialiser on it: open only archives you trust. Must not know how
execution is recorded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossgrade.errors import BadModelFile, MissingExtra
from crossgrade.workloads.built import INSTALL_TORCH, BuiltModel
from crossgrade.workloads.checkpoint import as_module, from_user
from crossgrade.workloads.factory import cache_of_outputs, moved_to, scalar_loss

if TYPE_CHECKING:
    import torch

    from crossgrade.values.workload import Workload


def build(path: Path, *, dtype: str | None) -> BuiltModel:
    """Return the module of an exported program.

    Raises:
        BadModelFile: torch cannot load it, or it carries no example inputs.
    """
    try:
        import torch
    except (ImportError, OSError, RuntimeError) as error:
        # torch raises RuntimeError where an extension that it loads by itself is broken.
        raise MissingExtra(f"a .pt2 archive needs torch: {error}", hint=INSTALL_TORCH) from error
    try:
        program = torch.export.load(str(path))
        module = program.module()
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise BadModelFile(
            f"torch {torch.__version__} cannot load '{path}': {text}",
            hint="export it again with torch.export.save and this torch",
        ) from error
    if program.example_inputs is None:
        raise BadModelFile(f"'{path}' carries no example inputs", hint="export with inputs")
    args, kwargs = program.example_inputs

    def inputs(workload: Workload, device: torch.device) -> tuple[tuple[Any, ...], dict[str, Any]]:
        moved = moved_to([list(args), dict(kwargs)], device)
        return tuple(moved[0]), moved[1]

    return BuiltModel(
        module=module,
        weights=from_user(dtype) if dtype else as_module(),
        make_inputs=inputs,
        loss=scalar_loss,
        cache_of=cache_of_outputs,
        sizes=frozenset(),
        environment={"archive": path.name},
        notes=("sizes are those of the archive's example inputs",),
    )
