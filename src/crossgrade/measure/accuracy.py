"""How far the output of a variant lies from that of the trusted run.

No fixed tolerance: the trusted run computes in float64 with weights rounded to the format of the
case, plain torch on the CPU computes in that format, and what separates these two is what the
format alone explains. A variant may be a few times further off. The three-way rule is that of the
accuracy check of torch's compiler (`torch._dynamo.utils.same`) and of operator standards of
vendors. Must not know targets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from crossgrade.targets.arrays import Array
from crossgrade.values.observation import Accuracy, OutputSample

LAUNCHES: Final = 3
"""Launches whose outputs are looked at: a training step shows by its second loss whether gradients
and optimiser are right."""
MOST_VALUES: Final = 4096
"""Elements of an output that are kept."""
MOST_ROWS: Final = 64
"""Rows of which the place of the largest element is kept."""
TIMES: Final = 4.0
"""A variant may be that many times as far off as plain torch in the same format."""
EPSILONS: Final = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10,
                   "bfloat16": 2.0**-7}  # fmt: skip
"""Format -> distance of 1 and the next number (IEEE 754; bfloat16 has 8 bits of significand)."""
SLACK: Final = 16.0
"""Epsilons that a variant may be off whatever plain torch is: sums in another order."""
MOST: Final = 0.5
"""No format explains more: zeros in place of the output are off by 1."""


def output_sample(outputs: Sequence[Array]) -> OutputSample:
    """Return what the outputs of successive launches are compared by.

    Args:
        outputs: first output of each launch, all of one shape.
    """
    shape = outputs[0].shape
    places = _places(math.prod(shape))
    rows = [o.reshape(-1, o.shape[-1])[:MOST_ROWS] for o in outputs if o.ndim and o.shape[-1] > 1]
    return OutputSample(
        shape=tuple(int(n) for n in shape),
        launches=len(outputs),
        values=tuple(float(v) for o in outputs for v in o.reshape(-1)[places]),
        tops=tuple(int(top) for r in rows for top in r.argmax(axis=1)),
    )


def relative_error(sample: OutputSample, reference: OutputSample) -> float:
    """Return the norm of the difference over that of the reference; infinite for NaN or shapes.

    A reference of zeros alone makes it 0 or infinite.
    """
    if (sample.shape, sample.launches) != (reference.shape, reference.launches):
        return math.inf
    found, wanted = np.asarray(sample.values), np.asarray(reference.values)
    off, norm = float(np.linalg.norm(found - wanted)), float(np.linalg.norm(wanted))
    if not math.isfinite(off):
        return math.inf
    return off / norm if norm else (0.0 if off == 0 else math.inf)


def accuracy_of(
    sample: OutputSample, reference: OutputSample, *, about: str, dtype: str,
    plain_error: float | None,
) -> Accuracy:  # fmt: skip
    """Return how far a sample lies from the trusted one, and whether that will do.

    Args:
        sample: of the variant.
        reference: of the trusted run.
        about: what that was.
        dtype: format of the case.
        plain_error: relative error of plain torch in that format; None unknown, then only the
            slack counts.
    """
    error = relative_error(sample, reference)
    # Where plain torch gives NaN, the format explains nothing: else NaN would pass beside NaN.
    explained = plain_error if plain_error is not None and math.isfinite(plain_error) else 0.0
    limit = TIMES * explained + SLACK * EPSILONS.get(dtype, EPSILONS["bfloat16"])
    limit = min(limit, MOST)
    return Accuracy(
        reference=about,
        relative_error=error,
        worst=_worst(sample, reference),
        same_top=_same_top(sample, reference),
        elements=len(sample.values),
        limit=limit,
        passed=error <= limit,
    )


def _worst(sample: OutputSample, reference: OutputSample) -> float:
    if len(sample.values) != len(reference.values):
        return math.inf
    found, wanted = np.asarray(sample.values), np.asarray(reference.values)
    scale = float(np.max(np.abs(wanted), initial=0.0))
    off = float(np.max(np.abs(found - wanted), initial=0.0))
    return off / scale if scale and math.isfinite(off) else (0.0 if off == 0 else math.inf)


def _same_top(sample: OutputSample, reference: OutputSample) -> float | None:
    if not reference.tops or len(sample.tops) != len(reference.tops):
        return None
    return float(np.mean(np.asarray(sample.tops) == np.asarray(reference.tops)))


def _places(size: int) -> Array:
    """Return which elements are kept, the same for every output of that size: spread evenly."""
    return np.unique(np.linspace(0, size - 1, min(size, MOST_VALUES)).astype(np.int64))


def told(accuracy: Accuracy) -> Iterator[str]:
    """Yield what to say of a variant that is too far off."""
    yield f"relative error {accuracy.relative_error:.2g} beside {accuracy.reference}"
    yield f"its format explains {accuracy.limit:.2g}"
    if accuracy.same_top is not None and accuracy.same_top < 1:
        yield f"{1 - accuracy.same_top:.0%} of the rows have another largest element"
