"""Language models that look at pictures: the vision tower runs, its results take tokens' places.

For the towers that read packed patches with a grid (Qwen-VL and what follows it). Their forward
pass asks for values of small integer tables, which a capture does not have, so these tables are
given as arrays of numpy, as precomputed arguments that transformers foresees. Must not know how
execution is recorded.
"""

from __future__ import annotations

import dataclasses
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crossgrade.errors import BadOption
from crossgrade.workloads.built import OwnSize

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from crossgrade.values.workload import Workload
    from crossgrade.workloads.feeding import Arguments, Feeding

_SIDE = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Tower:
    """What the inputs need to know of a vision tower."""

    patch: int
    """Pixels per patch and side."""
    merge: int
    """Patches per token and side."""
    values: int
    """Numbers per patch: channels, frames and pixels."""
    image_token: int
    """Token id that a picture's place is marked with."""

    @property
    def step(self) -> int:
        """Pixels per token and side."""
        return self.patch * self.merge

    def tokens(self, side: int) -> int:
        """Return tokens of a picture of `side` x `side` pixels."""
        return (side // self.step) ** 2


def tower_of(module: torch.nn.Module) -> Tower | None:
    """Return the vision tower of a model; None without one that is known here."""
    config: Any = module.config
    vision: Any = getattr(config, "vision_config", None)
    visual = getattr(getattr(module, "model", None), "visual", None)
    names = ("patch_size", "spatial_merge_size", "temporal_patch_size", "in_channels")
    if visual is None or not all(isinstance(getattr(vision, n, None), int) for n in names):
        return None
    if not hasattr(visual, "interpolation_mode"):
        return None
    return Tower(
        patch=vision.patch_size,
        merge=vision.spatial_merge_size,
        values=vision.in_channels * vision.temporal_patch_size * vision.patch_size**2,
        image_token=config.image_token_id,
    )


def with_pictures(feeding: Feeding, module: torch.nn.Module, tower: Tower) -> Feeding:
    """Return the feeding of a language model that may get pictures beside its text."""

    def inputs(workload: Workload, device: torch.device) -> Arguments:
        args, kwargs = feeding.make_inputs(workload, device)
        pictures = pictures_of(workload)
        if pictures:
            kwargs = kwargs | _arguments(module, tower, workload, pictures, device)
        return args, kwargs

    def count(tokens: int, given: Mapping[str, int]) -> int:
        return int(tower.tokens(given.get("image", _SIDE)) <= tokens)

    return dataclasses.replace(
        feeding,
        make_inputs=inputs,
        own_sizes={
            "images": OwnSize(
                default=1, least=0, most=1 << 12, default_for=count,
                meaning="pictures per sequence in prefill and training, none where the prompt is "
                "shorter than one",
            ),
            "image": OwnSize(
                default=_SIDE, least=tower.step, most=1 << 14, step=tower.step,
                meaning=f"pixels per side of a picture, a token for {tower.step} x {tower.step}",
            ),
        },
        describe=lambda w: _describe(w, tower),
        notes=(
            *feeding.notes,
            "prefill and training run the vision tower on the pictures that the heading names; "
            "their tokens are among the new tokens; cutting pictures into patches is not counted",
        ),
    )  # fmt: skip


def pictures_of(workload: Workload) -> int:
    """Return pictures per sequence that a step looks at; a decode step has them in its cache."""
    return 0 if workload.phase == "decode" else dict(workload.sizes).get("images", 0)


def _describe(workload: Workload, tower: Tower) -> str:
    pictures = pictures_of(workload)
    words = (
        f"batch {workload.batch}, {workload.tokens:,} new and {workload.context:,} cached tokens "
        "per sequence"
    )
    if not pictures:
        return f"{words}, no pictures" if workload.phase != "decode" else words
    side = workload.size("image")
    many = "1 picture" if pictures == 1 else f"{pictures} pictures"
    taken = pictures * tower.tokens(side)
    return f"{words}, {taken:,} of them {many} of {side:,} x {side:,} pixels"


def _arguments(
    module: torch.nn.Module, tower: Tower, workload: Workload, pictures: int, device: torch.device
) -> dict[str, Any]:
    """Return patches, and the tables that transformers would work out from the grid.

    Raises:
        BadOption: the pictures take more tokens than there are.
    """
    import torch

    side = workload.size("image")
    taken = pictures * tower.tokens(side)
    if taken > workload.tokens:
        raise BadOption(
            f"--size images={pictures} of {side} pixels: {taken:,} tokens, the prompt has "
            f"{workload.tokens:,}",
            hint="give more --tokens, fewer --size images or a smaller --size image",
        )
    if workload.context:
        raise BadOption(
            "pictures and --context together", hint="add --size images=0, or leave out --context"
        )
    _known_rows(module, workload.batch, workload.tokens, taken)
    many, grid = workload.batch * pictures, side // tower.patch
    patches = many * grid * grid
    dtype = next(module.parameters()).dtype
    whole: dict[str, Any] = {"dtype": torch.int64, "device": device}
    return {
        "pixel_values": torch.zeros((patches, tower.values), dtype=dtype, device=device),
        "image_grid_thw": np.tile(np.array([[1, grid, grid]]), (many, 1)),
        "image_cu_seqlens": np.arange(many + 1) * grid * grid,
        "image_position_ids": torch.zeros((patches, 2), **whole),
        "image_interp_indices": torch.zeros((patches, 4), **whole),
        "image_interp_weights": torch.zeros((patches, 4), dtype=torch.float32, device=device),
        "position_ids": torch.zeros((3, workload.batch, workload.tokens), **whole),
    }


def _known_rows(module: torch.nn.Module, batch: int, tokens: int, taken: int) -> None:
    """Let features of the tower be added to the rows of pictures, as many as there are.

    transformers picks the rows with a mask, whose number of set entries a capture does not have.
    """
    text: Any = getattr(module.model, "language_model", None)
    if not hasattr(text, "_deepstack_process"):
        return

    def process(self: Any, hidden: torch.Tensor, mask: torch.Tensor, features: torch.Tensor) -> Any:
        import torch

        rows = torch.zeros((batch * taken,), dtype=torch.int64, device=hidden.device)
        flat = hidden.clone().view(batch * tokens, -1)
        chosen = flat.index_select(0, rows) + features.to(hidden.dtype)
        return flat.index_copy_(0, rows, chosen).view_as(hidden)

    text._deepstack_process = types.MethodType(process, text)
