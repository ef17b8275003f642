"""A device that is not there: fake tensors on an out-of-tree device named `accel`.

The name is neutral on purpose: libraries then take the branch that they keep for an accelerator
they do not know by name. Must not know what is recorded about the tensors.
"""

from __future__ import annotations

from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

DEVICE_NAME = "accel"


class AccelFakeMode(FakeTensorMode):
    """Fake tensors that never initialise a device."""

    @property
    def avoid_device_init(self) -> bool:
        """Return True: there is no runtime behind the device."""
        return True


def ensure_device() -> torch.device:
    """Return the fake accelerator's device, after registering its name once per process."""
    if torch._C._get_privateuse1_backend_name() == "privateuseone":
        _setup_privateuseone_for_python_backend(DEVICE_NAME)
        _keep_whole()
    return torch.device(torch._C._get_privateuse1_backend_name(), 0)


_KERNELS: list[Any] = []


def _keep_whole() -> None:
    """Keep operators whole that dissolve only where a device has no kernel of its own.

    Accelerators register these three as PyTorch's CPU and CUDA do. Without a kernel,
    CompositeImplicitAutograd takes them apart before a dispatch mode sees them.
    """
    library = torch.library.Library("aten", "IMPL")
    _KERNELS.append(library)  # it withdraws its kernels when it dies
    for name in ("silu_backward", "mish_backward"):
        library.impl(name, lambda grad, x: torch.empty_like(x), "PrivateUse1")
    library.impl("native_channel_shuffle", lambda x, groups: torch.empty_like(x), "PrivateUse1")


def to_fake(tensor: torch.Tensor, mode: FakeTensorMode, device: torch.device) -> FakeTensor:
    """Return a fake tensor on `device` with the shape, strides and dtype of `tensor`."""
    meta = torch.empty_strided(
        tuple(tensor.shape), tuple(tensor.stride()), dtype=tensor.dtype, device="meta"
    )
    return FakeTensor(mode, meta, device)


def move_module(
    module: torch.nn.Module, mode: FakeTensorMode, device: torch.device
) -> dict[int, str]:
    """Replace every tensor of a module by a fake one on `device`; tied tensors stay tied.

    Plain tensor attributes move too: libraries keep tables there.

    Returns:
        `id(parameter)` -> type name of the module that owns it first.
    """
    moved: dict[int, Any] = {}
    owners: dict[int, str] = {}
    for child in module.modules():
        for name, parameter in list(child._parameters.items()):
            if parameter is None:
                continue
            fake = moved.get(id(parameter))
            if fake is None:
                fake = torch.nn.Parameter(
                    to_fake(parameter.detach(), mode, device), parameter.requires_grad
                )
                moved[id(parameter)] = fake
                # The old parameter must outlive the loop, or its id may be given out again.
                moved[id(fake)] = parameter
                owners[id(fake)] = type(child).__name__
            child._parameters[name] = fake
        for name, buffer in list(child._buffers.items()):
            if buffer is not None:
                if id(buffer) not in moved:
                    moved[id(buffer)] = to_fake(buffer, mode, device)
                    moved[id(moved[id(buffer)])] = buffer
                child._buffers[name] = moved[id(buffer)]
        for name, value in list(vars(child).items()):
            if isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
                object.__setattr__(child, name, to_fake(value, mode, device))
    return owners
