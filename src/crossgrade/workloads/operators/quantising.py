"""Quantised tokens and weights, computed with public operators.

A token has one scale: its largest magnitude over the largest number of the format. Products of
8-bit operands are computed on operands widened to float32: the same products, summed in float32
(exact up to 2^24). That is the result of an 8-bit engine, not its speed. Must not know targets.
"""

from __future__ import annotations

import torch

from crossgrade.workloads.operators.formats import QUANTISED
from crossgrade.workloads.operators.request import Request, bad
from crossgrade.workloads.operators.tensors import (
    Described,
    Fill,
    normal,
    positive,
    tensor,
    torch_dtype,
    whole,
)

_TINY = 1e-12
_LARGEST_INT8 = 127.0
QUANTISE_NOTE = "norm, smoothing and quantising are kernels of their own"
WIDENED_NOTE = (
    "8-bit operands are widened to float32 and multiplied there: the result of an 8-bit engine, "
    "not its speed"
)


def largest(dtype: torch.dtype) -> float:
    """Return the largest number of a quantised format that is used."""
    return _LARGEST_INT8 if dtype == torch.int8 else float(torch.finfo(dtype).max)


def quantise(
    x: torch.Tensor, smooth: torch.Tensor, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens [n, d] quantised, and a scale for each [n]: x * smooth = tokens * scale.

    xpu-perf's reference multiplies the smoothing factors by the scale here, not the tokens; this
    does what its description says.
    """
    smoothed = x.float() * smooth
    scale = smoothed.abs().amax(dim=-1, keepdim=True).clamp_min(_TINY) / largest(dtype)
    tokens = smoothed / scale
    if dtype == torch.int8:
        tokens = tokens.round()
    top = largest(dtype)
    return tokens.clamp(-top, top).to(dtype), scale.squeeze(-1)


def is_quantised(name: str) -> bool:
    """Return whether a format is kept beside a scale."""
    return name in QUANTISED or name == "int4"


def filled(name: str) -> Fill:
    """Return a fill for tokens or weights of a format."""
    return whole(-100, 100) if name == "int8" else normal


def operand(name: str, *shape: int) -> Described:
    """Return a matrix of tokens or weights; int4 has two of them in a byte along the last
    dimension.

    Raises:
        CannotRun: `bad-arguments`: int4 and an odd number of features.
    """
    if name == "int4":
        if shape[-1] % 2:
            raise bad("hidden_size", f"{shape[-1]} is odd; int4 packs two in a byte")
        return tensor(torch.uint8, *shape[:-1], shape[-1] // 2, fill=whole(0, 255))
    return tensor(torch_dtype(name), *shape, fill=filled(name))


def scales(*shape: int) -> Described:
    """Return scales, float32."""
    return tensor(torch.float32, *shape, fill=positive)


def widened(x: torch.Tensor, name: str, computed: torch.dtype) -> torch.Tensor:
    """Return an operand in the format that the product is computed in."""
    if name != "int4":
        return x.to(computed)
    low, high = (x & 15).to(torch.int8), (x >> 4).to(torch.int8)
    pair = torch.stack((low, high), dim=-1).flatten(-2)
    return torch.where(pair > 7, pair - 16, pair).to(computed)


def computed_in(name: str) -> torch.dtype:
    """Return the format in which a product runs here: float32 for 8-bit ones."""
    return torch.float32 if is_quantised(name) else torch_dtype(name)


def product_note(request: Request) -> str:
    """Return what the product does that a fused one would not."""
    names = (request.dtype, request.text("w_dtype"), request.text("compute_dtype"))
    notes = []
    if is_quantised(request.text("compute_dtype")):
        notes.append(WIDENED_NOTE)
    elif any(is_quantised(n) for n in names):
        notes.append("operands are widened by kernels of their own")
    if "int4" in names:
        notes.append("int4 is unpacked by kernels of its own")
    if any(is_quantised(n) for n in names):
        notes.append("scales are applied by kernels of their own")
    return "; ".join(notes)


def scaled_product(
    x: torch.Tensor, w: torch.Tensor, token_scale: torch.Tensor | None,
    weight_scale: torch.Tensor | None, request: Request, *, transposed: bool = True,
) -> torch.Tensor:  # fmt: skip
    """Return x [.., m, k] times w ([.., n, k], or [.., k, n] if not transposed), scaled.

    Scales are [.., m] and [.., n]; None where an operand has no scale.
    """
    computed = computed_in(request.values.get("compute_dtype", request.dtype))
    wide = widened(w, request.values.get("w_dtype", request.dtype), computed)
    y = x.to(computed) @ (wide.transpose(-1, -2) if transposed else wide)
    if token_scale is not None or weight_scale is not None:
        y = y.float()
    if token_scale is not None:
        y = y * token_scale.unsqueeze(-1)
    if weight_scale is not None:
        y = y * weight_scale.unsqueeze(-2)
    return y.to(torch_dtype(request.text("dst_dtype")))
