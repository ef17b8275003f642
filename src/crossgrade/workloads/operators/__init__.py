"""Operator cases: a name, sizes and a format -> a function of tensors and its inputs.

Works with torch 2.6 or newer and uses no private interface. Must not know how it is timed.
"""

from crossgrade.workloads.operators.built import BuiltOperator as BuiltOperator
from crossgrade.workloads.operators.catalog import build as build
