"""A model whose names try to break out of every report."""

from __future__ import annotations

import torch
from torch import nn

HTML = '<img src=x onerror="document.title=`broken`">'
CLOSING = "</script><script>document.title=`broken`</script>"
ANSI = "\x1b[31mred\x1b[0m"
FORMULA = "=HYPERLINK(1)"
MARKDOWN = "![x](https:\u200b//tracker.invalid/x) @everyone `|` "
BIDI = "\u202edrawkcab"
NAMES = (HTML, CLOSING, ANSI, FORMULA, MARKDOWN, BIDI)


class Hostile(nn.Module):
    """Layers under hostile names, one after another."""

    def __init__(self) -> None:
        super().__init__()
        self.names = tuple(name.replace(".", "") for name in NAMES)
        for name in self.names:
            self.add_module(name, nn.Linear(16, 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` through all layers."""
        for name in self.names:
            x = torch.relu(self.get_submodule(name)(x))
        return x


def make():
    """Return the model and its inputs."""
    return Hostile(), (torch.zeros(4, 16),)
