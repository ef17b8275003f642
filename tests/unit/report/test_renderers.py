"""Renderers are pure, cut nothing in pipes, and let no name drive the terminal."""

from __future__ import annotations

import pytest

from crossgrade.report.document import Document, Entry, Heading, Line, Table
from crossgrade.report.markdown import render_markdown
from crossgrade.report.terminal import render_terminal

HOSTILE = "evil\x1b[31m|name<script>\nnext"
DOCUMENT = Document(
    blocks=(
        Heading(text="a heading", level=2),
        Line(text=HOSTILE),
        Entry(text="a finding", details=("because", HOSTILE)),
        Table(columns=("name", "value"), rows=((HOSTILE, "1"), ("long " * 60, "2")),
              right=frozenset({1}), title="a table"),
    )
)  # fmt: skip


def test_markdown_escapes_what_has_a_meaning_and_cuts_nothing():
    text = render_markdown(DOCUMENT)
    assert "\x1b" not in text
    assert "<script>" not in text
    assert "evil?[31m\\|name&lt;script>" in text
    assert ("long " * 60).strip() in text
    assert "| --- | ---: |".replace(" ", "") in text.replace(" ", "")


def test_the_terminal_gets_no_control_characters_from_names():
    text = render_terminal(DOCUMENT, width=60)
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= 60
    assert text.count("long") == 60


@pytest.mark.parametrize("width", [80, 100, 200])
def test_short_names_stay_whole_and_nothing_is_cut(width):
    rows = tuple((f"ascend-910b{i}", "long title " * 4, "note " * 20) for i in range(3))
    table = Table(columns=("name", "title", "note"), rows=rows)
    text = render_terminal(Document(blocks=(table,)), width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "ascend-910b1" in text
    assert text.count("note") == 61


def test_colour_only_where_it_is_wanted():
    assert "\x1b[" in render_terminal(DOCUMENT, width=60, colour=True)
    assert "\x1b[" not in render_terminal(DOCUMENT, width=60, colour=False)
