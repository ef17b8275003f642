"""The page of a measurement: from commands, and in a real browser."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.bench_pages import CREATED, TARGETS, bench_run, hostile, result, titled, troubled
from tests.e2e.bench_lines import gemm, one_record, suite
from tests.e2e.hostile import NAMES

from crossgrade import api
from crossgrade.api.bench_book import bench_record, write_bench_record

WIDTHS = (1280, 400)
HOSTILE = (*NAMES, "half a pair \ud800", "'\"`)(&amp;\u200f")
OPENED = "document.querySelectorAll('details').forEach((d) => { d.open = true; })"


def written(folder, run, **more) -> Path:
    path = folder / "page.html"
    api.write_text(path, api.bench_html(run, created=CREATED, **more))
    return path


@pytest.fixture(scope="module")
def troubled_file(tmp_path_factory):
    return written(tmp_path_factory.mktemp("bench"), troubled(),
                   command="crossgrade bench op --suite a")  # fmt: skip


@pytest.fixture(scope="module")
def many_file(tmp_path_factory):
    """Return the page of twenty cases of three targets."""
    first = result(0.5, 1.3)
    run = bench_run(*(titled(first, m=m) for m in range(20)))
    return written(tmp_path_factory.mktemp("many"), run)


@pytest.fixture(scope="module")
def hostile_file(tmp_path_factory):
    return written(tmp_path_factory.mktemp("hostile"), hostile(HOSTILE), command=" ".join(HOSTILE))


@pytest.fixture
def runs(cg):
    """Return two folders of the same two cases."""
    for name, seed in (("one", 1), ("two", 2)):
        suite("cases.json", gemm(), gemm(512))
        cg("bench", "op", "--suite", "cases.json", "--on", "null", "--seed", seed, "--out", name)
    return Path("one"), Path("two")


@pytest.fixture
def comparison_file(cg, runs):
    before, after = runs
    cg("compare", before, after, "--html", "page.html")
    return Path("page.html").resolve()


# commands ------------------------------------------------------------------------------------
def test_bench_op_writes_a_page_after_its_answer(cg):
    code, out, err = cg("bench", "op", "gemm", "--on", "null", "--out", "run", "--html", "a.html")
    assert code == 0
    assert "measured" in out
    assert "html: a.html" in err
    text = html.unescape(Path("a.html").read_text())
    record = one_record("run")
    assert record.name in text
    assert json.loads(record.read_text())["digest"] in text
    assert "crossgrade bench op gemm --on null" in text
    assert "crossgrade records verify" in text
    assert str(Path.cwd()) not in text


@pytest.mark.parametrize("command", [
    ["bench", "op", "gemm", "--on", "null", "--out", "run"],
    ["bench", "model", "no-such-model", "--out", "run"],
    ["compare", "no-such-a", "no-such-b"],
    ["records", "show", "no-such-file"],
])  # fmt: skip
def test_a_folder_that_is_not_there_is_refused_before_anything_is_done(cg, command):
    code, out, err = cg(*command, "--html", "absent/a.html")
    assert (code, out) == (2, "")
    assert "the folder 'absent' is not there" in err
    assert "hint:" in err
    assert not Path("run").exists()
    assert not Path("absent").exists()


def test_a_page_of_records_needs_no_run(cg, runs):
    code, _, _ = cg("records", "show", *runs, "--html", "a.html")
    assert code == 0
    text = html.unescape(Path("a.html").read_text())
    assert text.count("sealed with") == 1
    for record in (*Path("one").glob("*.json"), *Path("two").glob("*.json")):
        assert json.loads(record.read_text())["digest"] in text
    assert "crossgrade bench op --on null --suite cases.json" not in text  # two seeds: two commands


def test_the_page_of_a_stored_run_has_the_command_that_its_records_keep(cg, runs):
    cg("records", "show", "one", "--html", "a.html")
    text = html.unescape(Path("a.html").read_text())
    assert "crossgrade bench op --on null --suite cases.json" in text
    assert "--seed 1" in text


def test_what_is_no_measurement_of_cases_has_no_page(cg):
    cg("calibrate", "--on", "null", "--out", "ceilings")
    code, out, err = cg("records", "show", "ceilings", "--html", "a.html")
    assert code == 2
    assert out
    assert "no measurement" in err
    assert not Path("a.html").exists()


def test_a_comparison_has_a_page(cg, runs):
    code, out, _ = cg("compare", *runs, "--html", "a.html")
    text = html.unescape(Path("a.html").read_text())
    assert code == 0
    assert "2 same" in out
    assert "2 same" in text
    assert text.index("What else is not the same") < text.index("Cases, what got slower first")
    assert "crossgrade compare one two" in text


def test_variants_of_one_run_compared_have_a_page(cg):
    record = bench_record(result(0.5, 1.3), {"op": "gemm", "on": TARGETS}, {"platform": "Linux"})
    write_bench_record(record, "gemm", Path("run"))
    code, _, _ = cg("compare", "run", "--html", "a.html")
    text = Path("a.html").read_text()
    assert code == 1
    assert "variants of run" in text
    assert "What else is not the same" not in text
    assert text.index("openvino") < text.index("compile:cpu")


# the file itself -----------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["troubled_file", "many_file", "hostile_file", "comparison_file"])
def test_ids_are_unique_links_lead_somewhere_and_nothing_is_loaded(name, request):
    text = request.getfixturevalue(name).read_text()
    policy = html.unescape(re.search(r'Security-Policy" content="([^"]+)"', text)[1])
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    body = re.sub(r"<(script|style).*?</\1>", "", text, flags=re.DOTALL)
    ids = re.findall(r'\sid="([^"]+)"', body)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', body)) <= set(ids)
    assert not re.search(r'href="[^#]', body)
    if name != "hostile_file":
        assert not re.search(r"\b(src|srcset|poster)=|@import|url\(|\bstyle=|\bon[a-z]+=", body)


# in the browser ------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["troubled_file", "many_file", "hostile_file", "comparison_file"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_fault_of_accessibility_and_nothing_beside_the_page(
    open_page, request, name, theme
):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    path = request.getfixturevalue(name)
    for width in WIDTHS:
        page = open_page(path, width=width, color_scheme=theme)
        page.evaluate(OPENED)
        found = axe.Axe().run(page).response["violations"]
        serious = [(v["id"], v["nodes"][0]["html"][:200]) for v in found
                   if v["impact"] in ("serious", "critical")]  # fmt: skip
        assert serious == []
        assert page.evaluate("document.scrollingElement.scrollWidth - innerWidth") <= 0
        assert page.wrong == []


def test_warnings_come_before_the_numbers(open_page, troubled_file):
    page = open_page(troubled_file)
    text = page.inner_text("main")
    for words in ("further from the trusted run", "missing that should be there", "1 session lost",
                  "7 samples left out", "noisy:", "does not hold here"):  # fmt: skip
        assert words in text
        assert text.index(words) < text.index("Cases by target")
    assert text.index("fault:") < text.index("mind:")


def test_without_javascript_everything_is_there(open_page, troubled_file):
    page = open_page(troubled_file, java_script_enabled=False)
    text = page.inner_text("main")
    for words in ("faster", "slower", "crashed", "What would help", "Timers under audit"):
        assert words.lower() in text.lower()
    assert page.locator("svg[role=img]").count() == 3
    assert not page.locator("[data-save]").first.is_visible()


def test_it_prints_dark_on_white_with_everything_open(open_page, many_file):
    page = open_page(many_file, color_scheme="dark")
    assert page.pdf()[:5] == b"%PDF-"
    page.emulate_media(media="print")
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.wrong == []


def test_a_keyboard_is_enough(open_page, many_file):
    page = open_page(many_file)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the verdict"
    page.locator("#matrix thead button").nth(2).focus()
    page.keyboard.press("Enter")
    ratios = page.eval_on_selector_all(
        "#matrix tbody td:nth-child(3)", "(cells) => cells.map((c) => Number(c.dataset.v))"
    )
    assert ratios == sorted(ratios)
    page.locator("#matrix tbody a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash.startsWith('#case-')")
    target = page.evaluate("location.hash.slice(1)")
    assert page.get_attribute(f"#{target}", "open") is not None


def test_cases_are_found_by_name_and_by_outcome(open_page, many_file):
    page = open_page(many_file)
    page.fill("#case", "m=17")
    assert page.locator("#matrix tbody tr:visible").count() == 1
    assert "1 of 20" in page.inner_text("#count-case")
    page.fill("#case", "")
    page.select_option("#outcome", "absent")
    assert page.locator("#matrix tbody tr:visible").count() == 0
    page.select_option("#outcome", "slower")
    assert page.locator("#matrix tbody tr:visible").count() == 20
    again = open_page(many_file, fragment=page.evaluate("location.hash"))
    assert again.input_value("#outcome") == "slower"


def saved(page, selector) -> str:
    with page.expect_download() as download:
        page.locator(selector).first.click()
    return download.value.path().read_text(encoding="utf-8")


def test_downloads_are_whole(open_page, troubled_file):
    page = open_page(troubled_file)
    found = json.loads(saved(page, "[data-save=json]"))
    assert [row["on"] for row in found["data"]["rows"]] == ["cpu", "compile:cpu", "openvino"] * 2
    rows = list(csv.reader(io.StringIO(saved(page, "[data-of=matrix]"))))
    assert len(rows) == 3
    drawing = ElementTree.fromstring(saved(page, "[data-of=strip-0]"))
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    assert ".dots" in drawing[0].text


def test_hostile_names_do_nothing(open_page, hostile_file):
    page = open_page(hostile_file)
    page.evaluate(OPENED)
    assert page.wrong == []
    assert page.title() != "broken"
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    text = page.inner_text("body")
    assert "<img src=x" in text
    for sign in "\x1b\u202e\u200f":
        assert sign not in text
    for name in ("matrix", "facts", "sessions"):
        for row in csv.reader(io.StringIO(saved(page, f"[data-of={name}]"))):
            assert not any(cell.startswith(("=", "+", "@")) for cell in row)
    json.loads(saved(page, "[data-save=json]"))
