"""Text -> token ids, and token ids -> text as they come.

A tokenizer of the model's folder where it has a `tokenizer.json`, which is data; else a stand-in
with one token per word, so that prompts have a known length and every token shows. Chat templates
are programs, and are not run: messages become plain lines. Must not know the protocol's JSON.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from crossgrade.errors import BadModelFile, MissingExtra

Decode = Callable[[int], str]
"""Gives the text that one more token adds; empty where a letter is not complete yet."""
_WORD = re.compile(r"w(\d{1,9})\Z")


class Text(Protocol):
    """Turns text into token ids and back."""

    @property
    def told(self) -> str:
        """Return what it is, for the facts of the server."""

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a prompt."""

    def decoder(self) -> Decode:
        """Return what gives the text of the tokens of one answer, in order."""


def chat_text(messages: Sequence[tuple[str, str]]) -> str:
    """Return messages (role, content) as the prompt that the model sees."""
    return "".join(f"{role}: {content}\n" for role, content in messages) + "assistant:"


def text_of(file: str, vocabulary: int) -> Text:
    """Return the tokenizer of a file, or the stand-in where none is named.

    Raises:
        BadModelFile: the file is no tokenizer, or has more tokens than the model.
        MissingExtra: `tokenizers` is not here.
    """
    return Tokens(Path(file), vocabulary) if file else Words(vocabulary)


class Words:
    """The stand-in: a token per word; token 17 shows as ` w17`."""

    def __init__(self, vocabulary: int) -> None:
        self._vocabulary = vocabulary

    @property
    def told(self) -> str:
        """Return what it is."""
        return "stand-in: one token per word"

    def encode(self, text: str) -> list[int]:
        """Return an id per word: that of `w17` is 17, others have one by their checksum."""
        return [self._id(word) for word in text.split()]

    def decoder(self) -> Decode:
        """Return what shows a token."""
        return " w{}".format

    def _id(self, word: str) -> int:
        shown = _WORD.match(word)
        if shown and int(shown[1]) < self._vocabulary:
            return int(shown[1])
        return zlib.crc32(word.encode("utf-8", errors="replace")) % self._vocabulary


class Tokens:
    """A `tokenizer.json`."""

    def __init__(self, file: Path, vocabulary: int) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra(
                "a tokenizer.json needs the package tokenizers",
                hint="pip install 'crossgrade[server]'",
            ) from error
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises plain exceptions
            raise BadModelFile(
                f"'{file}' is no tokenizer: {' '.join(str(error).split())[:200]}",
                hint="take the file away to serve with a stand-in, or download it again",
            ) from error
        if (size := self._tokenizer.get_vocab_size()) > vocabulary:
            raise BadModelFile(
                f"'{file}' has {size:,} tokens, and the model {vocabulary:,}",
                hint="does it belong to this model?",
            )

    @property
    def told(self) -> str:
        """Return what it is."""
        return f"tokenizer.json, {self._tokenizer.get_vocab_size()} tokens"

    def encode(self, text: str) -> list[int]:
        """Return the token ids, with those that the tokenizer itself puts around a text."""
        # Half of a surrogate pair is no text to the library.
        whole = text.encode("utf-8", errors="replace").decode("utf-8")
        return list(self._tokenizer.encode(whole).ids)

    def decoder(self) -> Decode:
        """Return what gives the text of a token once its letters are complete."""
        from tokenizers.decoders import DecodeStream

        stream = DecodeStream(skip_special_tokens=True)
        return lambda token: stream.step(self._tokenizer, token) or ""
