"""What the predictor says of a measured case: captured on fake tensors, priced on a chip.

Must not know measurements.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from crossgrade.errors import CrossgradeError
from crossgrade.values.beside import Predicted
from crossgrade.values.layout import Layout
from crossgrade.values.model_case import ModelCase
from crossgrade.values.operator_case import CannotRun
from crossgrade.values.precision import USER_NAMES

if TYPE_CHECKING:
    from crossgrade.predict.phase import Prepared
    from crossgrade.values.case import Case
    from crossgrade.values.chip import Chip


def predicted_for(case: Case, chip: Chip | None) -> Predicted:
    """Return the band of a case on a chip, or why there is none.

    The same predictor and the same assumptions as of `assess`; one chip.

    Args:
        case: an operator, or a phase of a model.
        chip: the description; None: there is none.
    """
    from crossgrade.predict.phase import UNRATED, predict

    if chip is None:
        return Predicted(chip="", band=None, reason="no-chip")
    if chip.memory_bandwidth is None:
        return Predicted(chip=chip.name, band=None, reason="no-prediction",
                         detail="no memory bandwidth is published")  # fmt: skip
    try:
        prepared = _prepared_once(_Keyed(case))
        found = predict(prepared, chip, Layout(chips=1))
    except (CannotRun, CrossgradeError, ImportError) as error:
        return Predicted(chip=chip.name, band=None, reason="no-capture", detail=_said(error))
    except Exception as error:
        # The time is measured by now: no operator that the predictor cannot take may hide it.
        words = f"{type(error).__name__}: {error}"[:200]
        return Predicted(chip=chip.name, band=None, reason="no-prediction", detail=words)
    if found.unrated_share > UNRATED:
        words = f"no peak of {', '.join(found.unknown_rates)} is known"
        return Predicted(chip=chip.name, band=None, reason="no-prediction", detail=words)
    return Predicted(chip=chip.name, band=found.time_s)


def flop_of(case: ModelCase) -> tuple[float | None, str]:
    """Return the operations of one execution (exact), and why there is no figure."""
    try:
        return _prepared_once(_Keyed(case)).flops, ""
    except (CannotRun, CrossgradeError, ImportError) as error:
        return None, _said(error)


class _Keyed:
    """A case under its key: cases hold mappings, which cannot be hashed."""

    def __init__(self, case: Case) -> None:
        self.case = case

    def __hash__(self) -> int:
        return hash(self.case.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and other.case.key == self.case.key


@functools.lru_cache(maxsize=4)
def _prepared_once(keyed: _Keyed) -> Prepared:
    """Return a case captured; several targets ask for the same one after each other."""
    from crossgrade.capture.run import CaptureSession
    from crossgrade.predict.phase import prepare

    case = keyed.case
    if not isinstance(case, ModelCase):
        from crossgrade.capture.operator import capture_operator

        return prepare(capture_operator(case))
    from crossgrade.workloads.resolve import FoundModel

    config = dict(case.config) or None
    found = FoundModel(ref=case.model, config=config, path=None)
    built = found.build(USER_NAMES.get(case.dtype, case.dtype))
    return prepare(CaptureSession(built).capture(case.workload))


def _said(error: Exception) -> str:
    if isinstance(error, CannotRun):
        return error.detail
    return error.message if isinstance(error, CrossgradeError) else str(error)
