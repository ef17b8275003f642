"""Builders of what else models and training need: optimiser step, loss, images, scans, sorting.

Must not know targets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional

from crossgrade.workloads.operators.built import BuiltOperator
from crossgrade.workloads.operators.convolutions import conv_sizes
from crossgrade.workloads.operators.elementwise import EPSILON
from crossgrade.workloads.operators.request import Request
from crossgrade.workloads.operators.tensors import (
    Described,
    Fill,
    built,
    normal,
    positive,
    tensor,
    torch_dtype,
    whole,
)

RATE, DECAY, FIRST, SECOND, TINY, STEP = 1e-3, 1e-2, 0.9, 0.999, 1e-8, 1000
"""Learning rate, weight decay, both factors of the moments, epsilon, and the number of the step."""


def _adamw(request: Request) -> BuiltOperator:
    """Return one step of AdamW in place: 14 n flop, 7 n s bytes.

    1 product for the decay, 3 operations for the first moment, 4 for the second, 3 for the
    denominator, 3 for the step. Parameter, gradient and both moments are read, all but the gradient
    are written.
    """
    count, dtype = request.size("numel"), torch_dtype(request.dtype)
    one = tensor(dtype, count)
    first, second = 1 - FIRST**STEP, math.sqrt(1 - SECOND**STEP)

    def run(p: torch.Tensor, g: torch.Tensor, m: torch.Tensor, v: torch.Tensor) -> Any:
        p.mul_(1 - RATE * DECAY)
        m.lerp_(g, 1 - FIRST)
        v.mul_(SECOND).addcmul_(g, g, value=1 - SECOND)
        p.addcdiv_(m, v.sqrt().div_(second).add_(TINY), value=-RATE / first)
        return p, m, v

    return built(
        run, (one, one, one, tensor(dtype, count, fill=positive)), (), flop=14 * count,
        traffic=7.0 * one.nbytes, exportable=False,
        note="eight kernels; a fused optimiser has one",
    )  # fmt: skip


def _cross_entropy(request: Request) -> BuiltOperator:
    """Return the mean loss of r rows of c scores: flop unknown (exponentials).

    Traffic: r c s + 8 r + s bytes.
    """
    rows, classes = request.sizes("batch_size", "num_classes")
    dtype = torch_dtype(request.dtype)
    return built(
        functional.cross_entropy,
        (tensor(dtype, rows, classes), tensor(torch.int64, rows, fill=whole(0, classes - 1))),
        (tensor(dtype, 1),), flop=None,
        note="log-softmax and the loss are kernels of their own",
    )  # fmt: skip


def _image(request: Request) -> Described:
    shape = request.sizes("batch_size", "channels", "height", "width")
    return tensor(torch_dtype(request.dtype), *shape)


def _batch_norm(request: Request) -> BuiltOperator:
    """Return batch normalisation: flop unknown (kernels differ in it).

    Traffic: the images read and written once, 4 C s for weight, bias and running statistics, and
    2 C s more in training, which writes the statistics.
    """
    one, training = _image(request), bool(request.values["training"])
    edge = tensor(one.dtype, one.shape[1], fill=positive)

    def run(
        x: torch.Tensor, mean: torch.Tensor, var: torch.Tensor, w: torch.Tensor, b: torch.Tensor
    ) -> torch.Tensor:
        return functional.batch_norm(x, mean, var, w, b, training=training, eps=EPSILON)

    return built(
        run, (one, edge, edge, edge, edge), (one,), flop=None, exportable=not training,
        traffic=2.0 * one.nbytes + (4 + 2 * training) * edge.nbytes,
    )  # fmt: skip


def _max_pool2d(request: Request) -> BuiltOperator:
    """Return the largest value of each window: 0 flop (comparisons only).

    Traffic: the elements in windows read once, the result written.
    """
    one, side = _image(request), request.size("kernel_size")
    step = request.values["stride"] or side
    filled = Request(
        op=request.op, dtype=request.dtype, form=request.form,
        values={**request.values, "stride": step},
    )  # fmt: skip
    sizes = conv_sizes(filled, ("height", "width"))
    seen = [(n - 1) * step + side if step < side else n * side for n in sizes]
    out = tensor(one.dtype, *one.shape[:2], *sizes)
    read = math.prod(one.shape[:2]) * math.prod(seen) * one.dtype.itemsize
    return built(
        lambda x: functional.max_pool2d(x, side, step), (one,), (out,), flop=0,
        traffic=float(read + out.nbytes),
    )  # fmt: skip


def _interpolate(request: Request) -> BuiltOperator:
    """Return images enlarged by a whole factor: 0 flop for nearest, unknown for bilinear.

    Traffic: the images read, the result written.
    """
    one, mode, factor = _image(request), request.text("mode"), request.size("scale")
    height, width = (n * factor for n in one.shape[2:])
    return built(
        lambda x: functional.interpolate(x, size=(height, width), mode=mode), (one,),
        (tensor(one.dtype, *one.shape[:2], height, width),),
        flop=0 if mode == "nearest" else None,
    )  # fmt: skip


def _fill(dtype: torch.dtype) -> Fill:
    return normal if dtype.is_floating_point else whole(0, 100)


def _cumsum(request: Request) -> BuiltOperator:
    """Return running sums of rows: r (d - 1) flop, 2 r d s bytes."""
    dtype = torch_dtype(request.dtype)
    rows, columns = request.sizes("batch_size", "dim_size")
    one = tensor(dtype, rows, columns, fill=_fill(dtype))
    return built(lambda x: torch.cumsum(x, dim=-1), (one,), (one,), flop=rows * (columns - 1))


def _sort(request: Request) -> BuiltOperator:
    """Return sorted rows with places: 0 flop (comparisons only), r d (2 s + 8) bytes."""
    dtype, shape = torch_dtype(request.dtype), request.sizes("batch_size", "dim_size")
    one = tensor(dtype, *shape, fill=_fill(dtype))
    return built(
        lambda x: tuple(torch.sort(x, dim=-1)), (one,), (one, tensor(torch.int64, *shape)), flop=0
    )


BUILDERS: Mapping[str, Callable[[Request], BuiltOperator]] = {
    "adamw_step": _adamw,
    "cross_entropy": _cross_entropy,
    "batch_norm": _batch_norm,
    "max_pool2d": _max_pool2d,
    "interpolate": _interpolate,
    "cumsum": _cumsum,
    "sort": _sort,
}
"""Name -> builder."""
