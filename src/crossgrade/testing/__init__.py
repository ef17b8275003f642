"""Public tests for targets: subclass `TargetConformance`, set `spec`, and let pytest collect it.

Needs pytest and torch, which makes the reference values. Must not know any target.
"""

from crossgrade.testing.conformance import TargetConformance as TargetConformance
from crossgrade.testing.reference import reference_value as reference_value
