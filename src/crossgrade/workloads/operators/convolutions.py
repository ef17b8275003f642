"""Builders of convolutions.

For N samples, I channels in, O channels out, g groups and kernels of k places, a result of p places
takes 2 N O (I / g) k p flop; products with the zeros of the border count. Input and weight are read
once, the result is written once. Must not know targets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch.nn import functional

from crossgrade.workloads.operators.built import BuiltOperator
from crossgrade.workloads.operators.request import Request, bad
from crossgrade.workloads.operators.tensors import built, tensor, torch_dtype


def conv_sizes(request: Request, names: Sequence[str]) -> list[int]:
    """Return the sizes of the result, (n + 2 padding - kernel) // stride + 1 each.

    Raises:
        CannotRun: `bad-arguments`: the kernel is larger than the input with its border.
    """
    side, step = request.sizes("kernel_size", "stride")
    edge = int(request.values.get("padding", 0))
    sizes = [(request.size(n) + 2 * edge - side) // step + 1 for n in names]
    if min(sizes) < 1:
        raise bad("kernel_size", f"{side} does not fit into {' x '.join(names)} with its border")
    return sizes


def conv_flop(samples: int, out: int, taken: int, kernel: int, places: Sequence[int]) -> float:
    """Return 2 N O I k p; `taken` is the channels that one channel of the result reads."""
    return 2.0 * samples * out * taken * kernel * math.prod(places)


def _conv(
    function: Callable[..., torch.Tensor], names: tuple[str, ...]
) -> Callable[[Request], BuiltOperator]:
    """Return the builder of a convolution over some dimensions."""

    def build(request: Request) -> BuiltOperator:
        samples, taken, out = request.sizes("batch_size", "in_channels", "out_channels")
        side, step, edge = request.sizes("kernel_size", "stride", "padding")
        groups = int(request.values.get("groups", 1))
        if taken % groups or out % groups:
            raise bad("groups", f"{groups} does not divide {taken} and {out} channels")
        places, dtype = conv_sizes(request, names), torch_dtype(request.dtype)
        return built(
            lambda x, w: function(x, w, stride=step, padding=edge, groups=groups),
            (
                tensor(dtype, samples, taken, *request.sizes(*names)),
                tensor(dtype, out, taken // groups, *(side,) * len(names)),
            ),
            (tensor(dtype, samples, out, *places),),
            flop=conv_flop(samples, out, taken // groups, side ** len(names), places),
        )  # fmt: skip

    return build


def _conv_transpose2d(request: Request) -> BuiltOperator:
    """Return a transposed convolution: 2 N I O k^2 h w flop for an input of h w places.

    A side of the result is (n - 1) stride - 2 padding + kernel.
    """
    samples, taken, out = request.sizes("batch_size", "in_channels", "out_channels")
    side, step, edge = request.sizes("kernel_size", "stride", "padding")
    shape = request.sizes("height", "width")
    places = [(n - 1) * step - 2 * edge + side for n in shape]
    if min(places) < 1:
        raise bad("padding", f"{edge} leaves nothing of the result")
    dtype = torch_dtype(request.dtype)
    return built(
        lambda x, w: functional.conv_transpose2d(x, w, stride=step, padding=edge),
        (tensor(dtype, samples, taken, *shape), tensor(dtype, taken, out, side, side)),
        (tensor(dtype, samples, out, *places),),
        flop=conv_flop(samples, taken, out, side**2, shape),
    )  # fmt: skip


def _depthwise(request: Request) -> BuiltOperator:
    """Return a convolution of each channel by itself: 2 N C k^2 p flop."""
    images, channels = request.sizes("batch_size", "channels")
    side, step, edge = request.sizes("kernel_size", "stride", "padding")
    places, dtype = conv_sizes(request, ("height", "width")), torch_dtype(request.dtype)
    return built(
        lambda x, w: functional.conv2d(x, w, stride=step, padding=edge, groups=channels),
        (
            tensor(dtype, images, channels, *request.sizes("height", "width")),
            tensor(dtype, channels, 1, side, side),
        ),
        (tensor(dtype, images, channels, *places),),
        flop=conv_flop(images, channels, 1, side**2, places),
    )  # fmt: skip


BUILDERS: Mapping[str, Callable[[Request], BuiltOperator]] = {
    "conv1d": _conv(functional.conv1d, ("length",)),
    "conv2d": _conv(functional.conv2d, ("height", "width")),
    "conv3d": _conv(functional.conv3d, ("depth", "height", "width")),
    "conv_transpose2d": _conv_transpose2d,
    "depthwise_conv2d": _depthwise,
}
"""Name -> builder."""
