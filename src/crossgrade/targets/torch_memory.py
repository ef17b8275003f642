"""What torch counts of the memory of a device: live tensors and the most of them so far.

Not in it: what the runtime and its libraries take, and what torch keeps for later. Uses public
interfaces that torch 2.6 has, and torch.accelerator where the device's own module has none. Must
not know any device.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch

from crossgrade.targets.protocol import PeakCounter


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchMemory:
    """Live tensors on a device; a `PeakCounter`."""

    owner: Any
    """Module with the three functions."""
    device: torch.device
    """The device."""
    name: str
    """What counts."""
    can_reset: bool = True
    """Whether the peak can be set back."""

    def reset(self) -> None:
        """Set the peak back to what is live now."""
        self.owner.reset_peak_memory_stats(self.device)

    def held_bytes(self) -> float:
        """Return the memory of live tensors, bytes."""
        return float(self.owner.memory_allocated(self.device))

    def peak_bytes(self) -> float:
        """Return the most memory of live tensors since it was set back, bytes."""
        return float(self.owner.max_memory_allocated(self.device))


def torch_memory(device: torch.device, module: Any) -> PeakCounter | None:
    """Return what counts the memory of a device; None where nothing of torch does.

    Args:
        device: the device, with its index.
        module: torch's module of its type, None where it has none.
    """
    owners = ((module, f"torch.{device.type}"), (torch.accelerator, "torch.accelerator"))
    for owner, path in owners:
        found = TorchMemory(owner=owner, device=device, name=f"{path}.max_memory_allocated")
        # A function that is not there or does not work for this device raises many things.
        with contextlib.suppress(Exception):
            found.reset()
            found.held_bytes()
            found.peak_bytes()
            return found
    return None
