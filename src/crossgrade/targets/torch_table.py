"""Torch devices by name: what registers them and how that is installed.

A device type that is not in this table is still tried: torch may know it, or a package that torch
loads by itself may have registered it. Must not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass

_TORCH = "pip install 'crossgrade[measure]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchDevice:
    """One device type of torch."""

    name: str
    """Device type, such as `npu`."""
    what: str
    """What it is, one line."""
    extension: str = "torch"
    """Module that registers it; `torch` where torch has it built in."""
    built_in: bool = False
    """Whether a torch built for it needs no extension, though an older one did."""
    install: str = _TORCH
    """How it comes onto a machine."""
    group_backend: str = ""
    """Backend of torch.distributed for groups of such devices; empty: there is none."""
    group_extension: str = ""
    """Module that registers the backend; empty: torch, or what registers the device, does so."""


TORCH_DEVICES: tuple[TorchDevice, ...] = (
    TorchDevice(name="cpu", what="this machine's CPU through torch", group_backend="gloo"),
    TorchDevice(
        name="cuda",
        what="NVIDIA GPUs, and AMD GPUs with torch for ROCm",
        install="install the torch wheel for your CUDA or ROCm release, see pytorch.org",
        group_backend="nccl",  # on ROCm too: RCCL answers to that name
    ),
    TorchDevice(
        name="gcu",
        what="Enflame accelerators",
        extension="torch_gcu",
        install="torch_gcu comes with the vendor's image",
        group_backend="eccl",
    ),
    TorchDevice(
        name="hpu",
        what="Intel Gaudi accelerators",
        extension="habana_frameworks.torch.core",
        install="habana-torch-plugin comes with the vendor's image",
        group_backend="hccl",
        group_extension="habana_frameworks.torch.distributed.hccl",
    ),
    TorchDevice(
        name="mlu",
        what="Cambricon MLUs",
        extension="torch_mlu",
        install="torch_mlu comes with the vendor's image",
        group_backend="cncl",
    ),
    TorchDevice(
        name="mps",
        what="Apple GPUs",
        install="needs a Mac with Apple silicon; the plain torch wheel has it",
    ),
    TorchDevice(
        name="musa",
        what="Moore Threads GPUs",
        extension="torch_musa",
        install="torch_musa comes with the vendor's image or release page",
        group_backend="mccl",
    ),
    TorchDevice(
        name="npu",
        what="Huawei Ascend NPUs",
        extension="torch_npu",
        install="pip install torch-npu of the release of your torch; needs the vendor's CANN, "
        "whose set_env.sh is to be sourced",
        group_backend="hccl",
    ),
    TorchDevice(
        name="xla",
        what="XLA devices such as TPUs",
        extension="torch_xla",
        install="pip install torch-xla of the release of your torch",
        group_backend="xla",
        group_extension="torch_xla.distributed.xla_backend",
    ),
    TorchDevice(
        name="xpu",
        what="Intel GPUs",
        extension="intel_extension_for_pytorch",
        built_in=True,
        install="install the torch wheel for XPU, see pytorch.org",
        group_backend="xccl",
    ),
)
"""Sorted by name."""

BY_NAME = {row.name: row for row in TORCH_DEVICES}
"""Device type -> row."""
