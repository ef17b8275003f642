"""The pages of `crossgrade explain`: one Markdown file for each, in the folder of its kind.

These files are the one source: `docs/reference/findings.md`, `errors.md` and `words.md` are
written from them by `tools/reference_pages.py`. Must not know what raises an error or gives a
finding; a test holds the pages complete.
"""

from __future__ import annotations

import difflib
import functools
import re
from importlib import resources
from typing import TYPE_CHECKING

from crossgrade.errors import UnknownCode
from crossgrade.values.page import Page, PageKind

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

FOLDERS: dict[str, PageKind] = {
    "findings": "finding",
    "errors": "error",
    "levels": "level",
    "verdicts": "verdict",
    "severities": "severity",
    "numbers": "number",
    "measuring": "measurement",
}
"""Folder -> kind of its pages, in the order in which they are listed."""
SECTIONS = ("Why", "Example", "Do", "Source")
"""Headings of a page, in order; `Why` and `Do` stand on every page."""

_HEADING = re.compile(r"^## (.+)\n+", re.MULTILINE)
_SHORT = re.compile(r"^[ef]\d+$")
_COUNTED = re.compile(r"^needs-\d+-chips$")


@functools.cache
def pages() -> tuple[Page, ...]:
    """Return all pages, by kind and then by code."""
    root = resources.files("crossgrade.explain").joinpath("pages")
    return tuple(
        _read(file, kind)
        for folder, kind in FOLDERS.items()
        for file in sorted(root.joinpath(folder).iterdir(), key=lambda f: f.name)
        if file.name.endswith(".md")
    )


def find_pages(code: str) -> tuple[Page, ...]:
    """Return the pages of a code or word, in any case; more than one where kinds share a word.

    Args:
        code: `CG-F101`, `F101`, `composite`, `needs-7-chips`.

    Raises:
        UnknownCode: nothing is explained under that name; the hint names close ones.
    """
    wanted = code.strip().lower()
    if _COUNTED.match(wanted):
        wanted = "needs-n-chips"
    if _SHORT.match(wanted):
        wanted = f"cg-{wanted}"
    found = tuple(p for p in pages() if p.code.lower() == wanted)
    if found:
        return found
    known = {p.code.lower(): p.code for p in pages()}
    close = [known[c] for c in difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)]
    raise UnknownCode(
        f"nothing is explained under '{code[:80]}'",
        hint=(f"did you mean {', '.join(close)}? " if close else "")
        + "`crossgrade explain` lists all",
    )


def _read(file: Traversable, kind: PageKind) -> Page:
    """Return the page of a file; its name is the code."""
    code = file.name.removesuffix(".md")
    heading, _, body = file.read_text(encoding="utf-8").partition("\n")
    what, *rest = _HEADING.split(body)
    sections = dict(zip(rest[::2], (text.strip() for text in rest[1::2]), strict=True))
    unknown = set(sections) - set(SECTIONS)
    if unknown or not heading.startswith("# ") or not {"Why", "Do"} <= set(sections):
        # A fault of ours, not of the user: the tests read every page.
        raise ValueError(f"page {file.name}: heading or sections {sorted(sections)}")
    return Page(
        code=code,
        kind=kind,
        title=heading.removeprefix("# "),
        what=what.strip(),
        why=sections["Why"],
        example=sections.get("Example", ""),
        do=sections["Do"],
        source=sections.get("Source", ""),
    )
