"""crossgrade: can this PyTorch model move to that accelerator, and what will it be like there?

`import crossgrade` imports nothing heavy; the functions of `crossgrade.api` load what they need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossgrade.api import AssessOptions as AssessOptions
    from crossgrade.api import assess as assess

__version__ = "0.1.0.dev0"
__all__ = ["AssessOptions", "__version__", "assess"]


def __getattr__(name: str) -> Any:
    """Load a public function on first use."""
    if name in ("AssessOptions", "assess"):
        from crossgrade import api

        return getattr(api, name)
    raise AttributeError(f"module 'crossgrade' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
