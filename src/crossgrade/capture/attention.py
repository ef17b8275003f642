"""Keep scaled dot-product attention one operator.

On a device that PyTorch does not know, `scaled_dot_product_attention` dissolves into matmul and
softmax before a dispatch mode sees it. Every accelerator that matters fills the slot that PyTorch
offers for it, so the capture records the slot,
`aten._scaled_dot_product_fused_attention_overrideable`. Must not know what is recorded.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_SLOT = torch.ops.aten._scaled_dot_product_fused_attention_overrideable.default


class FusedAttention(TorchFunctionMode):
    """Send `scaled_dot_product_attention` to the slot for out-of-tree devices."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Route one function call."""
        kwargs = kwargs or {}
        if func is torch.nn.functional.scaled_dot_product_attention:
            return _attention(*args, **kwargs)
        return func(*args, **kwargs)


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Return attention as one operator; shapes [batch, heads, length, head size]."""
    if query.dim() != 4 or key.dim() != 4:
        with torch._C.DisableTorchFunction():
            return torch.nn.functional.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask,
                dropout_p,
                is_causal,
                scale=scale,
                enable_gqa=enable_gqa,
            )
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        # The slot takes an additive mask, as the composite does with a boolean one.
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill_(
            attn_mask.logical_not(), float("-inf")
        )
    result: torch.Tensor = _SLOT(
        query, key, value, attn_mask, dropout_p, is_causal, False, scale=scale
    )[0]
    return result
