"""The answer over all chips in words. Must not know how it was found."""

from __future__ import annotations

from crossgrade.report.document import Tone
from crossgrade.values.assessment import Assessment, Verdict


def verdict_parts(a: Assessment) -> list[tuple[Tone, str]]:
    """Return the answer over all chips: tone and words, the best first."""
    said: dict[Verdict, tuple[Tone, str]] = {
        "runs": ("good", "runs on {}"),
        "runs-with-findings": ("warning", "runs, with findings, on {}"),
        "needs-N-chips": ("warning", "needs several chips: {}"),
        "unknown": ("bad", "unknown on {}"),
        "blocked": ("bad", "blocked on {}"),
    }
    parts: list[tuple[Tone, str]] = []
    for verdict, (tone, words) in said.items():
        chips = [c for c in a.chips if c.verdict == verdict]
        if verdict == "needs-N-chips":
            chips.sort(key=lambda c: c.least_chips or 0)
        names = [f"{c.chip} x{c.least_chips}" if verdict == "needs-N-chips" else c.chip
                 for c in chips]  # fmt: skip
        if names:
            parts.append((tone, words.format(", ".join(names))))
    return parts
