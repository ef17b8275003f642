"""What the words of a measurement mean and what would help: of pages of `explain`, else of here.

Must not know where a word stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word of a closed list."""

    name: str
    """As it stands in records."""
    meaning: str
    """What it says, without a full stop."""
    helps: str
    """What would help; empty: nothing would, or nothing is wrong."""
    explained: bool
    """Whether `crossgrade explain` has a page on it."""


_OWN: Final[Mapping[str, tuple[str, str]]] = {
    "unknown-operator": ("the catalogue has no such name",
                         "`crossgrade bench op --list` shows the names"),
    "unsupported-operator": ("the target cannot run it", "Another target, or a newer runtime."),
    "unsupported-format": ("the target cannot run it in that format",
                           "Another --dtype or another target."),
    "bad-arguments": ("sizes are missing or do not fit each other",
                      "Correct the case: `crossgrade bench op --list NAME` shows its arguments."),
    "needs-devices": ("it takes more devices than there are",
                      "Collectives are measured by `crossgrade bench comm`."),
    "out-of-memory": ("the allocation failed", "A smaller case, or more memory: --memory."),
    "too-large": ("its buffers exceed the memory that may be used, so it was not tried",
                  "A smaller case, or more memory: --memory."),
    "bad-output": ("the output has NaN where the operator gives none",
                   "It is a fault of the target: report it there, with the record."),
    "crashed": ("its process died", "The detail has what is known; report it to the runtime."),
    "timed-out": ("it gave no sign for longer than its limit",
                  "A smaller case or more --budget; if it stays, it hangs: report it there."),
    "target-absent": ("the target is not here", "`crossgrade bench targets --look` says why."),
    "no-samples": ("it ran, and no sample of it counts", "Cool or quiet the machine, try again."),
    "no-rate": ("neither a rate of the format nor a bandwidth is known",
                "A description with that rate, or `crossgrade calibrate`."),
    "no-work-count": ("operations and bytes of a call are not known", ""),
    "no-time": ("the case has no time", "Look at the reason why the case has no number."),
    "no-chip": ("there is no description to predict with",
                "`crossgrade calibrate` on a CPU; for another device a chip description."),
    "throttled": ("the device said that it was slowed down by heat or by a limit of power",
                  "Better cooling, a higher power limit, or a longer pause between runs."),
    "clock-low": ("the clock of the device was lower than during the other samples",
                  "Fix the clock, or quiet the machine."),
    "not-positive": ("the timer gave zero or less, or nothing finite",
                     "Longer blocks; if it stays, report it to the runtime."),
    "unread": ("the platform does not give that reading",
               "A host that lets a process read it, with no container around it."),
    "inside": ("the time lies in the predicted band", ""),
}  # fmt: skip
"""Word without a page -> what it means, and what would help."""
_SEE = re.compile(r":\s+\[[^\]]+\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")


def word(name: str) -> Word:
    """Return what a word means; of one that nobody explains the word alone."""
    return _paged().get(name) or _own(name)


def _own(name: str) -> Word:
    meaning, helps = _OWN.get(name, (name, ""))
    return Word(name=name, meaning=meaning, helps=helps, explained=False)


@cache
def _paged() -> Mapping[str, Word]:
    """Return the words that have a page."""
    from crossgrade.explain.pages import pages

    return {
        p.code: Word(name=p.code, meaning=_lowered(_plain(p.title)), helps=_plain(p.do),
                     explained=True)
        for p in pages() if p.kind in ("measurement", "number")
    }  # fmt: skip


def _plain(markdown: str) -> str:
    """Return a text of a page in one line, without its links: a page by itself has none."""
    return " ".join(_LINK.sub(r"\1", _SEE.sub("", markdown)).split())


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
