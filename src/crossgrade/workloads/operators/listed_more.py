"""Convolutions and what else training needs, in the list of the catalogue; xpu-perf has none."""

from __future__ import annotations

from typing import Any

from crossgrade.workloads.operators.formats import FLOATS, INTEGERS
from crossgrade.workloads.operators.info import (
    ArgumentInfo,
    OperatorGroup,
    OperatorInfo,
    choice,
    flag,
    size,
)
from crossgrade.workloads.operators.listed_backward import CONV2D, MKN, SMALL_CONV2D
from crossgrade.workloads.operators.listed_basic import COLUMNS, ROWS

_SMALL = {"batch_size": 256, "dim_size": 1024}
_STEP = (
    size("kernel_size", "side of the kernel", 3),
    size("stride", "step of the kernel", 1),
    size("padding", "zeros at each border", 0, least=0),
)
_CHANNELS = (
    size("batch_size", "samples", unit="samples"),
    size("in_channels", "channels of the input", unit="channels"),
    size("out_channels", "channels of the result", unit="channels"),
)
_IMAGE = (
    size("batch_size", "images", unit="images"),
    size("channels", "channels", unit="channels"),
    size("height", "height of the input"),
    size("width", "width of the input"),
)
_SMALL_IMAGE = {"batch_size": 2, "channels": 16, "height": 32, "width": 32}


def _one(
    group: OperatorGroup, name: str, line: str, arguments: tuple[ArgumentInfo, ...],
    defaults: dict[str, Any], dtypes: tuple[str, ...] = FLOATS,
) -> OperatorInfo:  # fmt: skip
    return OperatorInfo(
        name=name, group=group, line=line, arguments=arguments, dtypes=dtypes, defaults=defaults
    )


CONVOLUTION: tuple[OperatorInfo, ...] = (
    _one("convolution", "conv1d", "convolution over a sequence",
         (*_CHANNELS, size("length", "length of the input"), *_STEP),
         {"batch_size": 1, "in_channels": 16, "out_channels": 16, "length": 512, "padding": 1}),
    _one("convolution", "conv2d", "convolution over an image",
         (*CONV2D, size("groups", "groups of channels", 1, unit="groups")), SMALL_CONV2D),
    _one("convolution", "conv3d", "convolution over a volume",
         (*_CHANNELS, size("depth", "depth of the input"), size("height", "height of the input"),
          size("width", "width of the input"), *_STEP),
         {"batch_size": 1, "in_channels": 8, "out_channels": 8, "depth": 8, "height": 16,
          "width": 16, "padding": 1}),
    _one("convolution", "conv_transpose2d", "transposed convolution over an image", CONV2D,
         {**SMALL_CONV2D, "stride": 2}),
    _one("convolution", "depthwise_conv2d", "convolution over an image, each channel by itself",
         (*_IMAGE, *_STEP), {**_SMALL_IMAGE, "padding": 1}),
)  # fmt: skip
"""Convolutions."""

MORE: tuple[OperatorInfo, ...] = (
    OperatorInfo(
        name="gemm_8bit",
        group="more",
        line="product of [m, k] and [k, n] in 8 bits, by a kernel that multiplies them as they are",
        arguments=(
            size("M", "rows of the left matrix", aliases=("m",)),
            size("K", "columns of the left matrix", aliases=("k",)),
            size("N", "columns of the right matrix", aliases=("n",)),
        ),
        dtypes=("int8", "float8_e4m3fn"),
        defaults={"M": 256, "K": 256, "N": 256},
        default_dtype="int8",
    ),
    _one("more", "bmm", "matrix products of a batch",
         (size("batch_size", "products", unit="products"), *MKN),
         {"batch_size": 8, "m": 64, "k": 64, "n": 64}),
    _one("more", "linear", "rows times a weight of [out_features, in_features], plus a bias",
         (ROWS, size("in_features", "columns of the input"),
          size("out_features", "columns of the result"),
          flag("bias", "whether a bias is added", True)),
         {"batch_size": 128, "in_features": 256, "out_features": 256}),
    _one("more", "adamw_step", "one step of AdamW for one parameter, in place",
         (size("numel", "elements of the parameter"),), {"numel": 1 << 18}),
    _one("more", "cross_entropy", "mean cross entropy of rows of scores",
         (ROWS, size("num_classes", "classes", unit="classes")),
         {"batch_size": 64, "num_classes": 4096}),
    _one("more", "batch_norm", "batch normalisation of images",
         (*_IMAGE, flag("training", "whether the statistics are the batch's own", True)),
         _SMALL_IMAGE),
    _one("more", "max_pool2d", "largest value of each window of an image",
         (*_IMAGE, size("kernel_size", "side of the window", 2),
          size("stride", "step of the window; its side if not given", None)),
         _SMALL_IMAGE),
    _one("more", "interpolate", "image resized by a whole factor",
         (*_IMAGE, size("scale", "factor of each side", 2, most=64, unit=""),
          choice("mode", "how values between are found", ("nearest", "bilinear"), "bilinear")),
         _SMALL_IMAGE),
    _one("more", "cumsum", "running sum of rows", (ROWS, COLUMNS), _SMALL, (*FLOATS, "int64")),
    _one("more", "sort", "rows sorted, with the places", (ROWS, COLUMNS), _SMALL,
         (*FLOATS, *INTEGERS)),
)  # fmt: skip
"""What else models and training need."""
