"""An endpoint's address, taken apart: what is requested, what is shown, what stays secret.

Every text that comes from an endpoint, or from a library that knows the address, goes through
`shown` before anybody sees it. Must not know what is requested there.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from crossgrade.errors import BadOption

SHOWN_CHARACTERS: Final = 200
_EXAMPLE: Final = "such as http://127.0.0.1:8000/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where an endpoint is, and how it is allowed there."""

    base: str
    """Address without user, password and query, without a slash at the end."""
    query: str
    """Its query, which every request carries; may be secret."""
    authorization: str
    """Value of the Authorization header; empty: none is sent."""
    secrets: tuple[str, ...]
    """What must never be shown, longest first."""

    def url(self, path: str) -> str:
        """Return the address of something below it, with the query."""
        return self.base + path + (f"?{self.query}" if self.query else "")

    def root_url(self, path: str) -> str:
        """Return the address of something beside `/v1`, with the query."""
        root = self.base.removesuffix("/v1")
        return root + path + (f"?{self.query}" if self.query else "")

    def shown(self, text: str, most: int = SHOWN_CHARACTERS) -> str:
        """Return a text without secrets and control characters, cut to so many characters."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:most]


def read_address(address: str, key: str | None) -> Address:
    """Return an address taken apart.

    Args:
        address: what the user gave; may have a user with a password, and a query.
        key: key that goes into the Authorization header; empty or None: none.

    Raises:
        BadOption: it is no http or https address, the key has characters that no header takes, or
            both a key and a user are given.
    """
    try:
        parts = urlsplit(address.strip())
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")  # as the resolver will; refuses empty and long labels
    except ValueError:  # UnicodeError is one
        raise BadOption("the endpoint's address is no URL", hint=_EXAMPLE) from None
    bare = parts.netloc.rpartition("@")[2]
    if parts.scheme not in ("http", "https") or not host or port == 0 or not _plain(bare):
        raise BadOption("the endpoint's address does not begin with http:// or https:// and a host",
                        hint=_EXAMPLE)  # fmt: skip
    if key and not _plain(key):
        raise BadOption("the key has a space or a character that no header takes")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if key and (user or password):
        raise BadOption("both a key and a user are given", hint="take the user from the address")
    authorization = f"Bearer {key}" if key else ""
    if user or password:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        authorization = f"Basic {pair}"
    secrets = {key or "", password, parts.password or "", authorization.partition(" ")[2]}
    # Short words such as a version are no secret, and would make holes in other texts.
    asked = {user, parts.query, *(pair.partition("=")[2] for pair in parts.query.split("&"))}
    secrets |= {word for word in asked if len(word) >= 6}
    return Address(
        base=urlunsplit((parts.scheme, bare, parts.path.rstrip("/"), "", "")),
        query=parts.query,
        authorization=authorization,
        secrets=tuple(sorted(filter(None, secrets), key=len, reverse=True)),
    )


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
