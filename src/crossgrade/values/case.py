"""What can be timed: an operator, or a phase of a model. Must not know how."""

from __future__ import annotations

from crossgrade.values.model_case import ModelCase
from crossgrade.values.operator_case import OperatorCase

Case = OperatorCase | ModelCase
"""A case; its `key`, `title`, `op`, `dtype`, `seed` and `calls` are there in both."""
