"""The list and the page of chips: complete, and inert whatever a file says."""

import dataclasses

import pytest

from crossgrade.chips.loader import chip_names, load_chip
from crossgrade.chips.page import chip_page
from crossgrade.chips.undescribed import undescribed_chips
from crossgrade.report.chips import chip_list_document, chip_pages_document
from crossgrade.report.markdown import render_markdown
from crossgrade.report.terminal import render_terminal
from crossgrade.values.catalog import ChipList

HOSTILE = "evil\x1b[31m\x07\x9b|<script>alert(1)</script>\r\nnext"


def hostile_chip():
    chip = load_chip("h100")
    first = chip.peaks[0]
    return dataclasses.replace(
        chip,
        title=HOSTILE,
        vendor=HOSTILE,
        architecture=HOSTILE,
        aliases=(HOSTILE,),
        notes=(HOSTILE,),
        peaks=(
            dataclasses.replace(first, rate=dataclasses.replace(first.rate, note=HOSTILE)),
            *chip.peaks[1:],
        ),
        numerics=tuple(dataclasses.replace(n, title=HOSTILE, hint=HOSTILE) for n in chip.numerics),
        sources=tuple(
            dataclasses.replace(s, title=HOSTILE, url=f"https://{HOSTILE}", note=HOSTILE)
            for s in chip.sources
        ),
    )


def documents():
    chip = hostile_chip()
    page = chip_page(chip, passed=HOSTILE, via_alias=HOSTILE, file=HOSTILE)
    yield chip_pages_document((page,))
    yield chip_list_document(ChipList(chips=(chip,), undescribed=undescribed_chips()))


@pytest.mark.parametrize("document", list(documents()), ids=["page", "list"])
def test_what_a_file_says_is_inert(document):
    plain = render_terminal(document, width=100, colour=False)
    markdown = render_markdown(document)
    for text in (plain, markdown):
        assert not {c for c in text if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160}
    assert "<script>" not in markdown
    assert "evil?[31m" in plain.replace("\n", "")


def test_colour_codes_are_the_program_s_own():
    [page, _] = documents()
    text = render_terminal(page, width=100, colour=True)
    assert "\x1b[31mevil" not in text
    assert "evil\x1b" not in text


def test_the_list_has_every_chip_and_the_undescribed_apart():
    chips = tuple(map(load_chip, chip_names()))
    text = render_markdown(
        chip_list_document(ChipList(chips=chips, undescribed=undescribed_chips()))
    )
    for name in chip_names():
        assert f"| {name} |" in text
    table, _, below = text.partition("## Known and not described")
    assert "mlu590" in below
    assert "mlu590" not in table
    assert "| mi308x | AMD Instinct MI308X | AMD | package | unknown | 192 GB | unknown |" in table


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", chip_names())
def test_no_page_is_cut_on_a_terminal(name, width):
    page = chip_page(load_chip(name), passed=name, via_alias=None, file=None)
    text = render_terminal(chip_pages_document((page,)), width=width)
    squeezed = "".join(text.split())
    assert max(len(line) for line in text.splitlines()) <= width
    whole = all(len(row.constant) <= 32 for row in page.constants)
    for row in page.constants:
        assert not whole or row.constant in text
        assert "".join(row.source.url.split()) in squeezed


def test_the_page_says_all_that_the_description_has():
    chip = load_chip("gb300")
    page = chip_page(chip, passed="gb300-nvl72", via_alias="gb300-nvl72", file="/x/gb300.toml")
    text = render_markdown(chip_pages_document((page,)))
    assert "gb300-nvl72 is an alias of gb300" in text
    assert "description: /x/gb300.toml" in text
    for source in chip.sources:
        assert source.url in text
        assert source.title in text
    for row in page.constants:
        assert f"| {row.constant} |" in text
    assert "+2930.3 %" in text
    assert "60,000; derived" in text


def test_the_page_says_what_is_unknown():
    page = chip_page(load_chip("tpu-v7"), passed="tpu-v7", via_alias=None, file=None)
    text = render_markdown(chip_pages_document((page,)))
    assert "clock" in text[text.index("Unknown") :]
