"""The document that every command prints cannot drive the terminal that shows it."""

from __future__ import annotations

import json

import pytest

from crossgrade.report.envelope import envelope


@pytest.mark.parametrize("sign", ["\x1b", "\x07", "\x7f", "\x9b", "\u202e", "\u2066"])
def test_signs_that_drive_a_terminal_are_written_out(sign):
    text = envelope("chips", {"title": f"a{sign}b"})
    assert sign not in text
    assert f"\\u{ord(sign):04x}" in text
    assert json.loads(text)["data"]["title"] == f"a{sign}b"


def test_words_of_any_script_stay_readable():
    assert "昇腾" in envelope("chips", {"title": "昇腾"})
