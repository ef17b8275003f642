"""Imports what running a model takes, so that a session forked afterwards does not pay for it.

Only imported for that; has nothing in it. Must not know any model.
"""

from __future__ import annotations

import contextlib
import importlib

from crossgrade.errors import MissingExtra
from crossgrade.workloads.huggingface import load_transformers

with contextlib.suppress(MissingExtra):  # the session that needs it says so
    load_transformers()
    for _name in ("modeling_utils", "cache_utils", "masking_utils", "models.auto.modeling_auto"):
        importlib.import_module(f"transformers.{_name}")
