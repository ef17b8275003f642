"""A diffusion transformer in which text and picture keep weights of their own, then share them.

Two streams that attend together: MM-DiT of Esser et al., 2024, arXiv 2403.03206, section 4. Behind
them blocks with one stream whose attention and feed-forward part run side by side (Dehghani et al.,
2023, arXiv 2302.05442), as FLUX.1 has them. Must not know how execution is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from crossgrade.workloads.built import OwnSize
from crossgrade.workloads.feeding import Feeding
from crossgrade.workloads.written.diffusion import step_features

if TYPE_CHECKING:
    from crossgrade.values.workload import Workload

_PIXELS = 16
"""Pixels per token and side: eight per latent element, two elements per patch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Sizes of a diffusion transformer with two streams."""

    hidden_size: int
    """Features of a token."""
    num_attention_heads: int
    """Heads."""
    two_stream_layers: int
    """Blocks in which text and picture have weights of their own."""
    one_stream_layers: int
    """Blocks behind them with shared weights."""
    mlp_ratio: int
    """Features of the feed-forward part over `hidden_size`."""
    patch_channels: int
    """Values of a patch of the latent."""
    text_size: int
    """Features that the text encoder gives per token."""
    pooled_size: int
    """Features that the other text encoder gives per prompt."""
    text_tokens: int
    """Tokens of a prompt that an execution has by itself."""
    image_size: int
    """Pixels per side that an execution has by itself."""


def make(sizes: Sizes) -> nn.Module:
    """Return the module."""
    return TwoStreams(sizes)


def feeding(sizes: Sizes, module: nn.Module) -> Feeding:
    """Return how the module is fed: patches, text, pooled text, step and guidance."""
    image = OwnSize(default=sizes.image_size, least=_PIXELS, most=1 << 13, step=_PIXELS,
                    meaning="pixels per side of the picture, sixteen to a token")  # fmt: skip

    def inputs(workload: Workload, device: torch.device) -> tuple[tuple[Any, ...], dict[str, Any]]:
        b, kind = workload.batch, next(module.parameters()).dtype
        tokens = (workload.size("image") // _PIXELS) ** 2
        shapes = (
            (b, tokens, sizes.patch_channels),
            (b, workload.tokens, sizes.text_size),
            (b, sizes.pooled_size),
        )
        steps = torch.zeros((b,), device=device), torch.zeros((b,), device=device)
        return (*(torch.zeros(s, dtype=kind, device=device) for s in shapes), *steps), {}

    return Feeding(
        make_inputs=inputs,
        sizes=frozenset({"batch", "tokens"}),
        own_sizes={"image": image},
        phases=("prefill", "train"),
        defaults={p: {"tokens": sizes.text_tokens} for p in ("prefill", "train")},
        items={"prefill": "executions", "train": "executions"},
        describe=_describe,
        notes=(
            "an execution is one denoising step of one latent; a picture takes as many as the "
            "sampler has steps",
            "the text encoders and the autoencoder are not in the module",
        ),
    )


def _describe(workload: Workload) -> str:
    side = workload.size("image")
    return (
        f"one denoising step, batch {workload.batch}, latents of {side:,} x {side:,} pixels, "
        f"{workload.tokens:,} text tokens"
    )


def _mlp(first: int, inner: int, last: int, act: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(first, inner), act, nn.Linear(inner, last))


def _rotated(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Return x with pairs of features turned; x [b, heads, n, d], angles [n, d/2]."""
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2).to(x.dtype)


class Heads(nn.Module):
    """Normed queries and keys, and values, of one stream."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_norm = nn.RMSNorm(hidden // heads, eps=1e-6)
        self.k_norm = nn.RMSNorm(hidden // heads, eps=1e-6)

    def forward(self, qkv: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return three tensors [b, heads, n, d] of one [b, n, 3 h]."""
        b, n, _ = qkv.shape
        q, k, v = qkv.view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return self.q_norm(q), self.k_norm(k), v


def _attended(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, angles: torch.Tensor
) -> torch.Tensor:
    """Return attention as [b, n, h]."""
    y = nn.functional.scaled_dot_product_attention(_rotated(q, angles), _rotated(k, angles), v)
    return y.transpose(1, 2).flatten(2)


class Stream(nn.Module):
    """The weights that text, or the picture, has for itself in a block."""

    def __init__(self, hidden: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(hidden, 6 * hidden)
        self.norm1 = nn.LayerNorm(hidden, elementwise_affine=False, eps=1e-6)
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.split = Heads(hidden, heads)
        self.proj = nn.Linear(hidden, hidden)
        self.norm2 = nn.LayerNorm(hidden, elementwise_affine=False, eps=1e-6)
        self.mlp = _mlp(hidden, ratio * hidden, hidden, nn.GELU(approximate="tanh"))

    def before(self, x: torch.Tensor, c: torch.Tensor) -> tuple[Any, Any]:
        """Return queries, keys, values, and what the second half needs."""
        shift, scale, *rest = self.modulation(nn.functional.silu(c))[:, None].chunk(6, dim=-1)
        return self.split(self.qkv(self.norm1(x) * (1 + scale) + shift)), rest

    def after(self, x: torch.Tensor, attended: torch.Tensor, rest: Any) -> torch.Tensor:
        """Return the stream after the block."""
        gate1, shift, scale, gate2 = rest
        x = x + gate1 * self.proj(attended)
        out: torch.Tensor = x + gate2 * self.mlp(self.norm2(x) * (1 + scale) + shift)
        return out


class TwoStreamBlock(nn.Module):
    """Text and picture attend to each other, with weights of their own."""

    def __init__(self, hidden: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.text = Stream(hidden, heads, ratio)
        self.image = Stream(hidden, heads, ratio)

    def forward(
        self, text: torch.Tensor, image: torch.Tensor, c: torch.Tensor, angles: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both streams after the block."""
        of_text, rest_text = self.text.before(text, c)
        of_image, rest_image = self.image.before(image, c)
        q, k, v = (torch.cat(pair, dim=2) for pair in zip(of_text, of_image, strict=True))
        attended = _attended(q, k, v, angles)
        n = text.shape[1]
        return (
            self.text.after(text, attended[:, :n], rest_text),
            self.image.after(image, attended[:, n:], rest_image),
        )


class OneStreamBlock(nn.Module):
    """Attention and feed-forward part side by side, in two products."""

    def __init__(self, hidden: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.parts = (3 * hidden, ratio * hidden)
        self.modulation = nn.Linear(hidden, 3 * hidden)
        self.norm = nn.LayerNorm(hidden, elementwise_affine=False, eps=1e-6)
        self.first = nn.Linear(hidden, sum(self.parts))
        self.split = Heads(hidden, heads)
        self.second = nn.Linear(hidden + ratio * hidden, hidden)

    def forward(self, x: torch.Tensor, c: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        """Return the stream after the block; x [b, n, h], c [b, h]."""
        shift, scale, gate = self.modulation(nn.functional.silu(c))[:, None].chunk(3, dim=-1)
        qkv, inner = self.first(self.norm(x) * (1 + scale) + shift).split(self.parts, dim=-1)
        q, k, v = self.split(qkv)
        attended = _attended(q, k, v, angles)
        inner = nn.functional.gelu(inner, approximate="tanh")
        out: torch.Tensor = x + gate * self.second(torch.cat([attended, inner], dim=-1))
        return out


class TwoStreams(nn.Module):
    """Patches, text, step and guidance -> the direction of the next step."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        s, h = sizes, sizes.hidden_size
        if h % s.num_attention_heads or (h // s.num_attention_heads) % 2:
            raise ValueError("hidden_size is not an even multiple of num_attention_heads")
        block = (h, s.num_attention_heads, s.mlp_ratio)
        self.angles = h // s.num_attention_heads // 2
        self.image_in = nn.Linear(s.patch_channels, h)
        self.text_in = nn.Linear(s.text_size, h)
        self.step_in = _mlp(256, h, h, nn.SiLU())
        self.guidance_in = _mlp(256, h, h, nn.SiLU())
        self.pooled_in = _mlp(s.pooled_size, h, h, nn.SiLU())
        self.two = nn.ModuleList(TwoStreamBlock(*block) for _ in range(s.two_stream_layers))
        self.one = nn.ModuleList(OneStreamBlock(*block) for _ in range(s.one_stream_layers))
        self.modulation = nn.Linear(h, 2 * h)
        self.norm = nn.LayerNorm(h, elementwise_affine=False, eps=1e-6)
        self.head = nn.Linear(h, s.patch_channels)

    def forward(
        self,
        patches: torch.Tensor,
        text: torch.Tensor,
        pooled: torch.Tensor,
        steps: torch.Tensor,
        guidance: torch.Tensor,
    ) -> torch.Tensor:
        """Return values per patch, shape [b, n, channels]."""
        image, words = self.image_in(patches), self.text_in(text)
        kind = image.dtype
        c = self.step_in(step_features(steps).to(kind)) + self.pooled_in(pooled)
        c = c + self.guidance_in(step_features(guidance).to(kind))
        places = torch.arange(words.shape[1] + image.shape[1], device=image.device)
        angles = step_features(places.float(), 2 * self.angles)[:, : self.angles]
        for two in self.two:
            words, image = two(words, image, c, angles)
        x = torch.cat([words, image], dim=1)
        for one in self.one:
            x = one(x, c, angles)
        shift, scale = self.modulation(nn.functional.silu(c))[:, None].chunk(2, dim=-1)
        out: torch.Tensor = self.head(self.norm(x[:, words.shape[1] :]) * (1 + scale) + shift)
        return out
