"""End-to-end cases of Ascend/msmodeling@84fec85 (Mulan PSL v2), with TensorCast's answers.

For scoring alone. A case is described in words; they are read here. Must not know models or prices.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crossgrade.values.layout import Layout

FILE = "perf/msmodeling_ascend_e2e_cases.csv"
"""Below the folder of the large data sets."""
_NUMBER = re.compile(r"(TP|DP|EP|MTP|ctx|qlen|ulysses|img)=(\d+)|(\d+) quer")


@dataclass(frozen=True, slots=True, kw_only=True)
class AscendCase:
    """One step with its reference time."""

    name: str
    """Name of the case."""
    model: str
    """Model as the case names it, with its phase words."""
    device: str
    """Device as the case names it."""
    layout: Layout
    """Of all dies."""
    decodes: bool
    """Whether it decodes."""
    queries: int
    """Sequences over all dies."""
    tokens: int
    """New tokens of each."""
    context: int
    """Cached tokens of each."""
    drafts: int
    """Tokens that are drafted in a step."""
    weights: str
    """`W8A8`, `W4A8`, or empty."""
    pictures: bool
    """Whether a picture or a film is worked on."""
    reference_s: float
    """Reference time, s."""
    tensorcast_s: float
    """TensorCast's answer, s."""


def ascend_cases(data: Path) -> Iterator[AscendCase]:
    """Yield the cases.

    Args:
        data: the folder of the large data sets.
    """
    with (data / FILE).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield _case(row)


def _case(row: dict[str, str]) -> AscendCase:
    words = row["description"]
    found = {m[1] or "queries": int(m[2] or m[3]) for m in _NUMBER.finditer(words)}
    world, tp = int(row["world_size"]), found.get("TP", 1)
    decodes = "decode" in words
    drafts = found.get("MTP", 0)
    tokens = found.get("qlen", 1 + drafts if decodes else 1)
    weights = re.search(r"W\dA\d", words)
    return AscendCase(
        name=row["case"], model=words.split(" ")[0].partition(",")[0], device=row["device"],
        layout=Layout(chips=world, kind="sharded", tp=tp, dp=world // tp, ep=found.get("EP", 1)),
        decodes=decodes, queries=found.get("queries", 1), tokens=tokens,
        context=found.get("ctx", 0), drafts=drafts, weights=weights[0] if weights else "",
        pictures="img" in found or "ulysses" in found,
        reference_s=float(row["reference_s"]), tensorcast_s=float(row["tensorcast_pred_s"]),
    )  # fmt: skip
