"""The HTML report in a real browser: themes, widths, print, no script, keyboard, attacks."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
import re
from xml.etree import ElementTree

import pytest
from tests.e2e.conftest import CHIPS

from crossgrade import api
from crossgrade.report.packed import unpack

WIDTHS = (1280, 400)
TRACED = """() => {
  // Every number with a letter: what its link leads to has a source, a digest or a reason.
  const lost = [];
  const told = (e) => e && (e.querySelector('a[href^="https://"], code')
    || /assumed|measured|probed/i.test(e.textContent));
  for (const sup of document.querySelectorAll("sup")) {
    const link = sup.closest("a");
    let place = sup.closest("tr, li, p");
    if (link && link.getAttribute("href").startsWith("#")) {
      const target = document.getElementById(link.getAttribute("href").slice(1));
      place = target && (target.closest("details") || target.closest("section") || target);
    } else if (link) continue;
    else if (!told(place)) {
      // a plain number: its row or the heading of its table leads on
      place = sup.closest("details, section");
    }
    if (!told(place)) lost.push(sup.parentElement.textContent);
  }
  return lost;
}"""


def embedded(path) -> dict:
    found = re.search(r'<script id="data"[^>]*>(.*?)</script>', path.read_text(), re.DOTALL)
    return unpack(json.loads(found[1]))


# the file itself -----------------------------------------------------------------------------
def test_the_embedded_json_is_the_document_of_json(page_file, assessed):
    def rounded(value):
        if isinstance(value, dict):
            return {k: rounded(v) for k, v in value.items()}
        if isinstance(value, list):
            return [rounded(v) for v in value]
        return float(f"{value:.6g}") if isinstance(value, float) else value

    whole = json.loads(api.render(assessed[1], as_json=True))
    assert embedded(page_file) == rounded(whole)


def test_every_embedded_number_has_class_and_provenance(page_file):
    from tests.unit.values.test_number_kinds import numbers_in

    from crossgrade.values.number_kinds import kind_of

    data = embedded(page_file)["data"]
    paths = set(numbers_in({k: v for k, v in data.items() if k != "number_kinds"}))
    assert len(paths) > 80
    assert [p for p in paths if kind_of(p) is None or not kind_of(p).rests_on] == []
    constants = [c for chip in data["chips"] for c in chip["constants"]]
    assert all(c["url"].startswith("https://") and c["source"] and c["date"] for c in constants)
    assert all(a["source"] for a in data["assumptions"])
    assert all(p["capture_digest"] for chip in data["chips"] for p in chip["phases"])


def test_nothing_is_loaded_from_elsewhere(page_file):
    text = page_file.read_text()
    policy = html.unescape(re.search(r'Security-Policy" content="([^"]+)"', text)[1])
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    body = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(
        r"\b(src|srcset|poster|background)=|@import|url\(|\bstyle=|\bon[a-z]+=", body
    )
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(script) == 1
    assert len(script[0].encode()) < 15_000


def test_ids_are_unique_and_every_link_within_leads_somewhere(page_file, hostile_file):
    for path in (page_file, hostile_file):
        body = re.sub(r"<script.*?</script>", "", path.read_text(), flags=re.DOTALL)
        ids = re.findall(r'\sid="([^"]+)"', body)
        assert len(ids) == len(set(ids))
        links = set(re.findall(r'href="#([^"]+)"', body))
        assert links <= set(ids)
        assert all(a.startswith("https://") for a in re.findall(r'href="([^#][^"]*)"', body))


# in the browser ------------------------------------------------------------------------------
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_fault_of_accessibility_and_nothing_beside_the_page(
    open_page, page_file, width, theme
):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = open_page(page_file, width=width, color_scheme=theme)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    found = axe.Axe().run(page).response["violations"]
    serious = [(v["id"], v["nodes"][0]["html"][:200]) for v in found
               if v["impact"] in ("serious", "critical")]  # fmt: skip
    assert serious == []
    wide = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
    assert wide <= 0
    assert page.wrong == []


def test_every_number_with_a_letter_leads_to_its_source(open_page, page_file):
    page = open_page(page_file)
    assert page.locator("sup").count() > 100
    assert page.evaluate(TRACED) == []


def test_without_javascript_everything_is_there(open_page, page_file):
    page = open_page(page_file, java_script_enabled=False)
    text = page.inner_text("main")
    for words in ("runs, with findings", "Findings by impact", "Rooflines", "could not be known",
                  "Arithmetic of the times"):  # fmt: skip
        assert words in text
    assert page.locator("svg[role=img]").count() > 8
    assert not page.locator("[data-save]").first.is_visible()


@pytest.mark.parametrize("fragment", ["", "#verdict?theme=dark"])
def test_it_prints_dark_on_white(open_page, page_file, fragment):
    page = open_page(page_file, fragment=fragment, color_scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(colour) == "rgb(17, 21, 26)"
    assert page.pdf()[:5] == b"%PDF-"
    page.emulate_media(media="print")
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert page.wrong == []


def test_a_keyboard_is_enough(open_page, page_file):
    page = open_page(page_file)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the verdict"
    page.keyboard.press("Enter")
    page.wait_for_url("**#verdict")
    page.locator("#chips thead button").nth(3).focus()
    page.keyboard.press("Enter")
    times = page.eval_on_selector_all(
        "#chips tbody td:nth-child(4)", "(cells) => cells.map((c) => Number(c.dataset.v))"
    )
    assert times == sorted(times)
    assert page.get_attribute("#chips thead th:nth-child(4)", "aria-sort") == "ascending"
    page.locator("#ops tbody button").first.focus()
    page.keyboard.press("Enter")
    assert "calls" in page.inner_text("#evidence-panel")


def test_the_address_keeps_the_view(open_page, page_file):
    page = open_page(page_file)
    page.select_option("#theme", "dark")
    page.select_option("#severity", "warning")
    page.locator("#speed-decode thead button").nth(2).click()
    fragment = page.evaluate("location.hash")
    again = open_page(page_file, fragment=fragment)
    assert again.get_attribute("html", "data-theme") == "dark"
    shown = again.eval_on_selector_all(
        ".finding", "(f) => f.filter((e) => !e.hidden).map((e) => e.dataset.severity)"
    )
    assert set(shown) == {"warning"}
    assert again.get_attribute("#speed-decode thead th:nth-child(3)", "aria-sort") == "ascending"


def test_a_link_opens_the_part_that_it_leads_to(open_page, page_file):
    page = open_page(page_file)
    page.locator("#speed-prefill tbody a[href^='#time-']").first.click()
    target = page.evaluate("location.hash.slice(1).split('?')[0]")
    assert page.get_attribute(f"#{target}", "open") is not None


def test_the_first_table_leads_to_the_times_of_stacks(open_page, page_file):
    page = open_page(page_file)
    link = page.locator("#chips tbody a[href^='#stack-']").first
    shown = link.inner_text().removesuffix("P").strip()
    link.click()
    target = page.evaluate("location.hash.slice(1).split('?')[0]")
    assert shown in page.locator(f"#{target}").inner_text()


def saved(page, selector) -> str:
    with page.expect_download() as download:
        page.locator(selector).first.click()
    return download.value.path().read_text(encoding="utf-8")


def test_downloads_are_whole(open_page, page_file):
    page = open_page(page_file)
    assert json.loads(saved(page, "[data-save=json]")) == embedded(page_file)
    rows = list(csv.reader(io.StringIO(saved(page, "[data-of=chips]"))))
    assert [row[0] for row in rows[1:]] == list(CHIPS)
    assert all(re.fullmatch(r"\d+ chips?|unknown", row[2]) for row in rows[1:])
    drawing = ElementTree.fromstring(saved(page, "[data-save=svg]"))
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    assert "--s1:" in drawing[0].text


def test_hostile_names_do_nothing(open_page, hostile_file):
    page = open_page(hostile_file)
    assert page.wrong == []
    assert page.title() != "broken"
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    text = page.inner_text("body")
    assert "<img src=x" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    for row in csv.reader(io.StringIO(saved(page, "[data-of^=modules]"))):
        assert not row[0].startswith(("=", "+", "-", "@"))


def test_changes_stand_on_the_page(open_page, assessed, tmp_path):
    from tests.e2e.conftest import write_page

    options, answer = assessed
    record = api.write_record("model", options, answer, tmp_path)
    text = record.read_text().replace("4000000000000.0", "3500000000000.0")
    earlier = api.earlier_record(record)
    data = json.loads(text)["data"]
    changed = api.compare(answer, dataclasses.replace(earlier, data=data))
    assert any(c.area == "constants" and "memory_bandwidth" in c.place for c in changed.entries)
    page = open_page(write_page(tmp_path, answer, changes=changed))
    assert "memory_bandwidth" in page.inner_text("#changes")
    assert page.wrong == []
