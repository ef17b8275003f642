"""Pages: complete, in one shape, found by code in any case, equal to the reference."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from tools.reference_pages import REFERENCE, written

from crossgrade import api, errors
from crossgrade.api.comparing import Reproduced
from crossgrade.errors import CrossgradeError, UnknownCode
from crossgrade.explain.pages import FOLDERS, find_pages, pages
from crossgrade.report.explanation import page_section
from crossgrade.values.assessment import Verdict
from crossgrade.values.bench import RunVerdict
from crossgrade.values.beside import BesideReason, Place
from crossgrade.values.collective import CommReason
from crossgrade.values.comparison import COMPARISON_VERDICTS
from crossgrade.values.evidence import NumberClass
from crossgrade.values.finding import Severity
from crossgrade.values.observation import EnergyReason, MemoryReason
from crossgrade.values.operator_case import AbsentReason
from crossgrade.values.page import PageKind
from crossgrade.values.record import RecordState
from crossgrade.values.serving import OUTCOMES, SERVING_VERDICTS
from crossgrade.values.support import SupportLevel

SOURCE = Path(errors.__file__).parent
ALL = [pytest.param(page, id=f"{page.kind}-{page.code}") for page in pages()]


def codes(kind: str) -> set[str]:
    return {page.code for page in pages() if page.kind == kind}


def error_classes(base: type[CrossgradeError] = CrossgradeError) -> set[type[CrossgradeError]]:
    return {base}.union(*(error_classes(child) for child in base.__subclasses__()))


def test_every_finding_of_the_source_has_a_page_and_no_other():
    text = "".join(
        p.read_text(encoding="utf-8")
        for p in SOURCE.rglob("*.py")
        if "explain" not in p.relative_to(SOURCE).parts
    )
    assert codes("finding") == set(re.findall(r'"(CG-F\d{3})"', text))


def test_every_error_class_has_a_page_that_names_it():
    classes = {c.code: c.__name__ for c in error_classes() if c.__module__ == errors.__name__}
    assert codes("error") == set(classes)
    wrong = [p.code for p in pages() if p.kind == "error" and classes[p.code] not in p.what]
    assert wrong == []


def test_exit_codes_on_the_pages_of_errors_are_those_of_the_classes():
    exits = {c.code: c.exit_code for c in error_classes()}
    for page in pages():
        said = re.search(r"exit (\d)", page.what)
        if page.kind == "error" and said:
            assert int(said.group(1)) == exits[page.code], page.code


@pytest.mark.parametrize(
    ("kind", "vocabulary"),
    [
        ("level", SupportLevel),
        ("verdict", Verdict),
        ("severity", Severity),
        ("number", NumberClass),
    ],
)
def test_every_word_of_a_closed_list_has_a_page(kind, vocabulary):
    assert codes(kind) == set(get_args(vocabulary))


def test_every_verdict_of_measuring_is_explained():
    words = {*get_args(RunVerdict), *COMPARISON_VERDICTS, *get_args(Reproduced),
             *get_args(RecordState), *SERVING_VERDICTS, *OUTCOMES} - {"ok"}  # fmt: skip
    assert all(find_pages(word) for word in words)
    assert all(find_pages(word) for word in get_args(Place) if word != "inside")
    missing = {*get_args(EnergyReason), *get_args(MemoryReason)}
    reasons = {*get_args(AbsentReason), *get_args(BesideReason), *get_args(CommReason), *missing}
    assert missing <= codes("measurement") <= words | reasons | set(get_args(Place))


def test_every_kind_has_a_folder():
    assert set(FOLDERS.values()) == set(get_args(PageKind))


@pytest.mark.parametrize("page", ALL)
def test_a_page_is_in_shape(page):
    assert page.title
    assert not page.title.endswith(".")
    assert page.what
    assert page.why.endswith(".")
    assert page.do.endswith(".")
    if page.example:
        assert all(line.startswith(">") for line in page.example.splitlines())
        assert page.kind not in ("finding", "error") or page.code in page.example
    if page.kind == "finding":
        assert page.example
        assert page.source


def test_the_reference_is_what_the_pages_say():
    stale = [n for n, text in written().items() if (REFERENCE / n).read_text("utf-8") != text]
    assert stale == [], "run python tools/reference_pages.py"


@pytest.mark.parametrize("name", ["CG-F101", "cg-f101", "F101", " f101 "])
def test_a_code_is_found_in_any_case(name):
    [page] = find_pages(name)
    assert page.code == "CG-F101"


def test_a_word_of_two_lists_has_two_pages():
    assert {p.kind for p in find_pages("unknown")} == {"level", "verdict"}


def test_a_counted_verdict_is_the_one_with_n():
    [page] = find_pages("needs-7-chips")
    assert page.code == "needs-N-chips"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("CG-F199", "CG-F"), ("composit", "composite"), ("f109", "CG-F10"), ("", "lists all"),
     ("needs-seven-chips", "needs-N-chips"), ("\x1b[31m", "lists all"), ("x" * 9999, "lists all")],
)  # fmt: skip
def test_an_unknown_name_says_what_is_close(name, hint):
    with pytest.raises(UnknownCode) as raised:
        find_pages(name)
    assert hint in raised.value.hint
    assert len(raised.value.message) < 130


def test_links_stay_in_the_reference_and_are_text_elsewhere():
    [page] = find_pages("CG-F101")
    assert "](operator-tables.md)" in page_section(page)
    for terminal in (False, True):
        assert "](" not in api.render_pages((page,), terminal=terminal)


def test_a_list_in_a_pipe_is_tsv_and_as_json_short():
    lines = api.render_pages(pages(), listed=True).splitlines()
    assert lines[0] == "code\tkind\ttitle"
    assert len(lines) == len(pages()) + 1
    data = json.loads(api.render_pages(pages(), listed=True, as_json=True))
    assert data["command"] == "explain"
    assert data["data"][0] == {"code": "CG-F101", "kind": "finding", "title": pages()[0].title}
