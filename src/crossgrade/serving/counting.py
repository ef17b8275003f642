"""Whether the numbers of tokens that an endpoint reports can be right.

Only what no honest server can do counts as a fault, whatever its tokenizer, whether it packs
several tokens into an event, decodes speculatively or wraps prompts into a template. So a fault
proves an error; no fault proves nothing. Must not know verdicts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from crossgrade.measure.samples import Floats
from crossgrade.serving.columns import Columns
from crossgrade.units import percent
from crossgrade.values.serving import Counting, Endpoint

SEVERAL: Final = 0.01
"""Share of the answers with a number that has to be wrong before it is a fault."""
EVENTS_SLACK: Final = 2
"""An event with text has a token at least. A parser that takes an answer apart, the thoughts from
what follows, may make two events of one token, at each of the two borders."""
ASKED_SLACK: Final = 1
"""What is asked for is the most there can be; some count the token that ends an answer on top."""
BYTES_SLACK: Final = 8
"""A token that shows has a byte at least, and a tokenizer of bytes has no more. Some that do not
show, such as the end and marks of a template, come on top."""
WORD_LEAST: Final = 0.1
"""Tokens per word of a prompt below which they cannot be right: no vocabulary has ten random words
in one token."""
WORD_MOST: Final = 64.0
"""Above which they cannot: a word is 16 bytes at most, and a byte four tokens."""
ASKED_MOST: Final = 4.0
"""Times the length for which a prompt was made, after the endpoint's own numbers, that it may
report. Lengths of words differ by less."""
TEMPLATE_SLACK: Final = 64
"""Tokens of a template on top."""


def counting_of(endpoint: Endpoint, sessions: Sequence[Columns]) -> Counting:
    """Return how tokens are counted under a load, and what cannot be right of it.

    Args:
        endpoint: tokens per word of prompts, and whether answers are as long as asked.
        sessions: requests.
    """
    reported = _answers(sessions, "output_reported")
    asked = _answers(sessions, "output_asked")
    prompts = _answers(sessions, "input_reported")
    tokens = np.concatenate([np.empty(0), *(s.tokens[s.answered] for s in sessions)])
    knows = reported >= 0
    return Counting(
        source="reported" if 2 * knows.sum() > len(reported) else "events",
        faults=tuple(_faults(endpoint, sessions)),
        input_tokens=float(prompts[prompts >= 0].mean()) if (prompts >= 0).any() else None,
        output_tokens=float(tokens.mean()) if len(tokens) else None,
        short=int((tokens < asked).sum()),
    )


def unseen_tokens(sessions: Sequence[Columns]) -> int:
    """Return of how many answers more tokens are reported than their text has bytes."""
    reported, size = _answers(sessions, "output_reported"), _answers(sessions, "text_bytes")
    return int((reported > size + BYTES_SLACK).sum())


def _answers(sessions: Sequence[Columns], name: str) -> Floats:
    """Return a column of requests over all answers."""
    found = [np.array(getattr(s.raw, name), dtype=np.float64)[s.answered] for s in sessions]
    return np.concatenate([np.empty(0), *found])


def _faults(endpoint: Endpoint, sessions: Sequence[Columns]) -> Iterator[str]:
    reported = _answers(sessions, "output_reported")
    known = max(1, int((reported >= 0).sum()))
    few = (reported >= 0) & (_answers(sessions, "chunks") > reported + EVENTS_SLACK)
    many = reported > _answers(sessions, "output_asked") + ASKED_SLACK
    if few.sum() > SEVERAL * known:
        yield (f"{percent(few.sum() / known)} of the answers came in more events than the tokens "
               "that are reported, and an event has one at least")  # fmt: skip
    if many.sum() > SEVERAL * known:
        yield (f"{percent(many.sum() / known)} of the answers have more tokens, as reported, than "
               "were asked for at most")  # fmt: skip
    # Told to go on after its end, a model gives tokens without text as long as it is asked to.
    unseen = 0 if endpoint.ignores_eos else unseen_tokens(sessions)
    if unseen > SEVERAL * known:
        yield (f"{percent(unseen / known)} of the answers have more tokens, as reported, than "
               "bytes of text: it counts what it does not show, such as hidden reasoning, or "
               "wrongly")  # fmt: skip
    yield from _prompt_faults(endpoint, sessions)


def _prompt_faults(endpoint: Endpoint, sessions: Sequence[Columns]) -> Iterator[str]:
    """Yield what cannot be right of the lengths of prompts."""
    prompts, asked = _answers(sessions, "input_reported"), _answers(sessions, "input_asked")
    known = int((prompts >= 0).sum())
    if not known:
        return
    if not WORD_LEAST <= endpoint.input_per_word <= WORD_MOST:
        yield (f"prompts have {endpoint.input_per_word:.3g} tokens per word, as reported: longer "
               "ones must have more, and no tokenizer makes as many or as few")  # fmt: skip
    less = (prompts >= 0) & (prompts < WORD_LEAST * asked - 1)
    more = prompts > ASKED_MOST * (asked + endpoint.input_fixed) + TEMPLATE_SLACK
    for found, how in ((less, "less than a tenth"), (more, f"more than {ASKED_MOST:g} times")):
        if found.sum() > SEVERAL * known:
            yield (f"{percent(found.sum() / known)} of the prompts have {how} of the tokens that "
                   "they were made to have")  # fmt: skip
