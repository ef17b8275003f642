"""Phases of models as something to call: real weights, real inputs, a real cache.

Must not know targets, nor who times them.
"""

from crossgrade.workloads.running.execution import Execution, execution_of
from crossgrade.workloads.running.weights import materialised

__all__ = ["Execution", "execution_of", "materialised"]
