"""Narration of long work on stderr: one line written over on a screen, seldom lines in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType

import click

EVERY_S = 30.0
"""In a log a line comes at most that often."""


class Narrator:
    """Tells where long work is; the line on a screen is gone when it ends."""

    def __init__(self) -> None:
        """Look at what stderr is."""
        self._screen = sys.stderr.isatty()
        self._last = float("-inf")

    def __enter__(self) -> Narrator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._screen:
            click.echo("\r\x1b[K", err=True, nl=False)

    def __call__(self, text: str) -> None:
        """Tell a line."""
        if self._screen:
            click.echo(f"\r\x1b[K{text[:79]}", err=True, nl=False)
        elif time.monotonic() - self._last >= EVERY_S:
            self._last = time.monotonic()
            click.echo(text, err=True)
