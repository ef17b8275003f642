"""Operators as text, CSV and HTML: the same words everywhere, nothing that runs."""

from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from crossgrade.api import OperatorQuery, operators, render_operators, write_text
from crossgrade.errors import CannotWrite
from crossgrade.report.matrix import CHANGES, operators_csv, operators_document
from crossgrade.report.matrix_html import operators_html
from crossgrade.values.operators import (
    LEGEND,
    LEVELS,
    LevelCount,
    OperatorCell,
    OperatorChange,
    OperatorColumn,
    OperatorDiff,
    OperatorLine,
    OperatorMatrix,
)

HOSTILE = (
    "=cmd()", "+1", "-1", "@x", "<script>alert(1)</script>", "a|b", "\x1b[31m", "\udc80", "\"",
)  # fmt: skip


def cell(level: str, overloads: int = 1, *evidence: str) -> OperatorCell:
    counts = [LevelCount(level=level, count=1)]  # type: ignore[arg-type]
    if overloads > 1:
        counts.append(LevelCount(level="missing", count=overloads - 1))
    return OperatorCell(level=level, counts=tuple(counts), evidence=evidence)  # type: ignore[arg-type]


def column(label: str) -> OperatorColumn:
    return OperatorColumn(
        label=label, backend=label, version="1", title=f"{label} title", source="file@commit",
        note="a note",
    )  # fmt: skip


def matrix(*names: str, evidence: bool = False) -> OperatorMatrix:
    said = ("why",) if evidence else ()
    lines = [
        OperatorLine(op=name, cells=(cell("native", 2, *said), cell("unknown", 1, *said)))
        for name in names
    ]
    return OperatorMatrix(
        namespace="aten", grain="base", pattern="", levels=(), lines=tuple(lines),
        columns=(column("a@1"), column("b@1")), with_evidence=evidence,
    )  # fmt: skip


def diff() -> OperatorDiff:
    change = OperatorChange(op="f", kind="gained", before=cell("missing"), after=cell("native"))
    return OperatorDiff(
        namespace="aten", grain="base", pattern="", before=column("a@1"), after=column("a@2"),
        compared=3, changes=(change,),
    )  # fmt: skip


class Page(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


GOLDEN = """1 base operator, 2 columns

| operator | a@1 | b@1 |
|---|---|---|
| mm | native 1/2 | unknown |

## rows by level

| level | a@1 | b@1 |
|---|---:|---:|
| conflict | 0 | 0 |
| native | 1 | 0 |
"""


def test_markdown_begins_like_this() -> None:
    assert render_operators(matrix("mm"), "markdown").startswith(GOLDEN)


@pytest.mark.parametrize("kind", ["table", "markdown", "csv", "html", "json"])
def test_every_form_says_what_each_word_means_and_how_many(kind) -> None:
    text = render_operators(matrix("mm"), kind)
    for level in LEVELS:
        assert LEGEND[level].replace("'", "&#x27;") in text or LEGEND[level] in text
    assert "native 1/2" in text or '"count": 1' in text


@pytest.mark.parametrize("kind", ["table", "markdown", "csv", "html"])
def test_changes_say_what_each_kind_means(kind) -> None:
    text = render_operators(diff(), kind)
    assert all(meaning in text for meaning in CHANGES.values())
    assert "gained" in text


@pytest.mark.parametrize("kind", ["markdown", "csv", "html", "json"])
def test_evidence_is_shown(kind) -> None:
    assert "why" in render_operators(matrix("mm", evidence=True), kind)


def test_a_wide_matrix_becomes_a_list_on_a_narrow_screen() -> None:
    narrow = render_operators(matrix("mm"), "table", terminal=True, width=24)
    assert "native 1/2: a@1" in narrow
    assert "unknown: b@1" in narrow
    assert "a@1: 1 native" in narrow
    wide = render_operators(matrix("mm"), "table", terminal=True, width=100)
    assert "native 1/2: a@1" not in wide
    assert max(map(len, narrow.splitlines())) <= 24


def test_csv_cells_are_no_formulas() -> None:
    rows = list(csv.reader(io.StringIO(operators_csv(matrix(*HOSTILE)))))
    assert len({len(row) for row in rows}) == 1
    for row in rows:
        assert not any(text.startswith(("=", "+", "-", "@", "\t", "\r")) for text in row)
    assert [row[0] for row in rows[1:5]] == ["'=cmd()", "'+1", "'-1", "'@x"]


def test_csv_rows_without_comments_are_the_matrix() -> None:
    rows = list(csv.reader(io.StringIO(operators_csv(matrix("f", "g")))))
    data = [row for row in rows if not row[0].startswith("#")]
    assert data == [
        ["operator", "a@1", "b@1"], ["f", "native 1/2", "unknown"], ["g", "native 1/2", "unknown"],
    ]  # fmt: skip


def test_html_runs_nothing_and_loads_nothing() -> None:
    for found in (matrix(*HOSTILE, evidence=True), diff()):
        text = operators_html(found)
        page = Page(text)
        assert "default-src 'none'; style-src 'unsafe-inline'" in text
        assert {"script", "link", "img", "iframe", "object"}.isdisjoint(t for t, _ in page.tags)
        for _, attrs in page.tags:
            assert not any(name.startswith("on") or name in ("src", "href") for name in attrs)
        assert "\x1b" not in text
        text.encode("utf-8")


def test_html_is_readable_by_ear_and_on_a_phone() -> None:
    page = Page(operators_html(matrix("mm")))
    heads = [attrs for tag, attrs in page.tags if tag == "th"]
    assert heads
    assert {attrs["scope"] for attrs in heads} == {"row", "col"}
    boxes = [attrs for tag, attrs in page.tags if attrs.get("class") == "scroll"]
    assert boxes
    assert all(box["role"] == "region" and box["tabindex"] == "0" for box in boxes)
    text = operators_html(matrix("mm"))
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    assert sum(tag == "table" for tag, _ in page.tags) == len(boxes)


def test_not_known_is_drawn_apart_from_no() -> None:
    text = operators_html(matrix("mm"))
    assert ".unknown { color: var(--quiet); font-style: italic; outline: 1px dashed" in text
    assert '<td class="unknown">unknown</td>' in text


@pytest.mark.parametrize("kind", ["markdown", "csv", "html", "table", "json"])
def test_hostile_names_go_through_every_form(kind) -> None:
    text = render_operators(matrix(*HOSTILE), kind, terminal=True)
    assert "\x1b" not in text
    text.encode("utf-8")


def test_json_is_one_document() -> None:
    body = json.loads(render_operators(matrix("mm"), "json"))
    assert body["command"] == "chips ops"
    assert body["data"]["lines"][0]["cells"][0]["level"] == "native"
    assert set(body["data"]["legend"]) == set(LEVELS)
    assert len(body["data"]["totals"]) == 2


def test_a_document_without_rows_says_so() -> None:
    assert operators_document(matrix()).blocks[0].text == "0 base operators, 2 columns"  # type: ignore[union-attr]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "ops.csv"
    path.write_text("old")
    write_text(path, "new\n")
    assert path.read_text() == "new\n"
    assert [p.name for p in tmp_path.iterdir()] == ["ops.csv"]


@pytest.mark.parametrize("name", ["file/x.csv", "."])
def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CannotWrite) as caught:
        write_text(tmp_path / name, "x")
    assert caught.value.hint
    assert not list(tmp_path.glob("**/.*part"))


def test_the_whole_matrix_in_every_form_is_quick_and_plain() -> None:
    found = operators(OperatorQuery())
    for kind in ("csv", "html", "markdown", "json"):
        assert len(render_operators(found, kind)) > 100_000
