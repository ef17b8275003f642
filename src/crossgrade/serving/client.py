"""The two things that a client does: `look` at an endpoint, and `play` a load on it.

This is the door of the client: it imports aiohttp, and says how to get it where it is not there.
Must not know how a request is sent, nor what a result is used for.
"""

from __future__ import annotations

from crossgrade.errors import MissingExtra

try:
    from crossgrade.serving.looking import look
    from crossgrade.serving.playing import longest_tokens, play
except ModuleNotFoundError as error:
    if error.name not in ("aiohttp", "yarl"):
        raise
    raise MissingExtra(
        f"sending requests needs {error.name}, which is not installed",
        hint="pip install 'crossgrade[serve]'",
    ) from error

__all__ = ["longest_tokens", "look", "play"]
