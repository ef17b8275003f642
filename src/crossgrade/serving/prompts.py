"""Prompts of words by seed, none of which begins like another.

A server that keeps the state of earlier prompts must find nothing to reuse, or the time to the
first token is that of its cache. The words are common and short: most tokenizers have each of them
as one token. Must not know how a prompt is sent.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

import numpy as np

WORDS: Final = tuple(
    resources.files("crossgrade.serving").joinpath("data", "words.txt").read_text("utf-8").split()
)
"""Words of all prompts."""


class Prompts:
    """Prompts of one load in one session, by number."""

    def __init__(self, *, seed: int, index: int, place: int, salt: int = 0) -> None:
        """Draw where the numbering begins from seed, salt, session and place of the load."""
        self._random = np.random.default_rng([abs(seed), index, place, 2, salt])
        self._start = int(self._random.integers(len(WORDS)))
        self._end = (place, index)

    def text(self, number: int, words: int) -> str:
        """Return a prompt of so many words; call it with each number once, in order.

        The first two words tell its number, the next two load and session: among the prompts of a
        plan no two share more than the first three. The words after those are drawn.
        """
        base = len(WORDS)
        opening = (self._start + number, number // base, *self._end)
        drawn = self._random.integers(base, size=max(0, words - len(opening)))
        places = [digit % base for digit in opening[:words]] + drawn.tolist()
        return " ".join(WORDS[place] for place in places)


def words_for(tokens: int, *, fixed: float, per_word: float) -> int:
    """Return how many words make a prompt of about so many tokens; at least one.

    Args:
        tokens: tokens that the prompt shall have.
        fixed: tokens of any prompt beyond its words.
        per_word: tokens per word.
    """
    return max(1, round((tokens - fixed) / per_word))
