"""DiT: a transformer that takes noise from a picture's latent, one step per execution.

Written from Peebles and Xie, 2023, arXiv 2212.09748, section 3: patches, adaLN-Zero blocks, a
table of classes, noise and covariance out. Must not know how execution is recorded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from crossgrade.workloads.built import OwnSize
from crossgrade.workloads.feeding import Feeding

if TYPE_CHECKING:
    from crossgrade.values.workload import Workload

_SHRINK = 8
"""Pixels per latent element and side: the autoencoder of latent diffusion (arXiv 2112.10752)."""
_FREQUENCIES = 256
"""Size of the sinusoidal embedding of a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Sizes of a DiT."""

    hidden_size: int
    """Features of a patch."""
    num_hidden_layers: int
    """Blocks."""
    num_attention_heads: int
    """Heads."""
    patch_size: int
    """Latent elements per patch and side."""
    latent_channels: int
    """Channels of the latent."""
    num_classes: int
    """Classes, without the empty one of guidance."""
    mlp_ratio: int
    """Features of the feed-forward part over `hidden_size`."""
    image_size: int
    """Pixels per side that an execution has by itself."""


def make(sizes: Sizes) -> nn.Module:
    """Return the module."""
    return DiffusionTransformer(sizes)


def feeding(sizes: Sizes, module: nn.Module) -> Feeding:
    """Return how the module is fed: latents, steps, classes."""
    image = OwnSize(
        default=sizes.image_size,
        least=_SHRINK * sizes.patch_size,
        most=1 << 13,
        step=_SHRINK * sizes.patch_size,
        meaning="pixels per side of the picture, eight to a latent element",
    )

    def inputs(workload: Workload, device: torch.device) -> tuple[tuple[Any, ...], dict[str, Any]]:
        side = workload.size("image") // _SHRINK
        kind = next(module.parameters()).dtype
        shape = (workload.batch, sizes.latent_channels, side, side)
        steps = torch.zeros((workload.batch,), device=device)
        classes = torch.zeros((workload.batch,), dtype=torch.int64, device=device)
        return (torch.zeros(shape, dtype=kind, device=device), steps, classes), {}

    return Feeding(
        make_inputs=inputs,
        sizes=frozenset({"batch"}),
        own_sizes={"image": image},
        phases=("prefill", "train"),
        items={"prefill": "executions", "train": "executions"},
        describe=_describe,
        notes=(
            "an execution is one denoising step of one latent; a picture takes as many as the "
            "sampler has steps, twice that with classifier-free guidance",
            "the autoencoder is not in the module",
        ),
    )


def _describe(workload: Workload) -> str:
    side = workload.size("image")
    return f"one denoising step, batch {workload.batch}, latents of {side:,} x {side:,} pixels"


def modulated(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return `x` scaled and shifted per sequence; x [b, n, h], the others [b, h]."""
    return x * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


def step_features(steps: torch.Tensor, size: int = _FREQUENCIES) -> torch.Tensor:
    """Return sines and cosines of steps, shape [b, size] (Vaswani et al., 2017)."""
    half = size // 2
    rates = torch.exp(torch.arange(half, device=steps.device) * (-math.log(10_000) / half))
    angles = steps[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class Attention(nn.Module):
    """Attention of patches to each other."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.proj = nn.Linear(hidden, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the attended features, shape [b, n, h]."""
        b, n, h = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, h // self.heads).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        out: torch.Tensor = self.proj(y.transpose(1, 2).reshape(b, n, h))
        return out


class Block(nn.Module):
    """A transformer block whose norms and residuals are set by step and class (adaLN-Zero)."""

    def __init__(self, hidden: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden, elementwise_affine=False, eps=1e-6)
        self.attn = Attention(hidden, heads)
        self.norm2 = nn.LayerNorm(hidden, elementwise_affine=False, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(hidden, ratio * hidden),
            nn.GELU(approximate="tanh"),
            nn.Linear(ratio * hidden, hidden),
        )
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 6 * hidden))

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """Return the features after the block; x [b, n, h], c [b, h]."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(c).chunk(6, dim=1)
        x = x + gate1.unsqueeze(1) * self.attn(modulated(self.norm1(x), shift1, scale1))
        y = modulated(self.norm2(x), shift2, scale2)
        out: torch.Tensor = x + gate2.unsqueeze(1) * self.mlp(y)
        return out


class DiffusionTransformer(nn.Module):
    """Latent, step and class -> predicted noise and covariance."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        s = sizes
        if s.hidden_size % s.num_attention_heads or s.hidden_size % 4:
            raise ValueError("hidden_size is not a multiple of num_attention_heads and of 4")
        self.patch, self.hidden = s.patch_size, s.hidden_size
        out = s.patch_size**2 * 2 * s.latent_channels
        self.embed = nn.Conv2d(s.latent_channels, s.hidden_size, s.patch_size, s.patch_size)
        self.step = nn.Sequential(
            nn.Linear(_FREQUENCIES, s.hidden_size),
            nn.SiLU(),
            nn.Linear(s.hidden_size, s.hidden_size),
        )
        self.classes = nn.Embedding(s.num_classes + 1, s.hidden_size)
        self.blocks = nn.ModuleList(
            Block(s.hidden_size, s.num_attention_heads, s.mlp_ratio)
            for _ in range(s.num_hidden_layers)
        )
        self.norm = nn.LayerNorm(s.hidden_size, elementwise_affine=False, eps=1e-6)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(s.hidden_size, 2 * s.hidden_size))
        self.head = nn.Linear(s.hidden_size, out)

    def forward(
        self, latent: torch.Tensor, steps: torch.Tensor, classes: torch.Tensor
    ) -> torch.Tensor:
        """Return noise and covariance, shape [b, 2 c, side, side]; latent [b, c, side, side]."""
        b, _, side, _ = latent.shape
        grid = side // self.patch
        x = self.embed(latent).flatten(2).transpose(1, 2)
        x = x + self._positions(grid, x)
        c = self.step(step_features(steps).to(x.dtype)) + self.classes(classes)
        for block in self.blocks:
            x = block(x, c)
        shift, scale = self.modulation(c).chunk(2, dim=1)
        x = self.head(modulated(self.norm(x), shift, scale))
        x = x.view(b, grid, grid, self.patch, self.patch, -1).permute(0, 5, 1, 3, 2, 4)
        out: torch.Tensor = x.reshape(b, -1, side, side)
        return out

    def _positions(self, grid: int, x: torch.Tensor) -> torch.Tensor:
        """Return the fixed sines and cosines of rows and columns, shape [grid^2, h]."""
        line = step_features(torch.arange(grid, device=x.device).float(), self.hidden // 2)
        rows = line[:, None].expand(grid, grid, -1)
        columns = line[None].expand(grid, grid, -1)
        return torch.cat([rows, columns], dim=-1).view(grid * grid, -1).to(x.dtype)
