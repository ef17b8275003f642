"""Raw lists that stand outside the repository are the ones that the tables were derived from."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from pathlib import Path

import pytest

LISTED = tomllib.loads((Path(__file__).parents[3] / "tools" / "data.toml").read_text())["file"]


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry["file"])
def test_a_list_is_named_with_its_commit(entry):
    assert re.fullmatch(r"[0-9a-f]{64}", entry["sha256"])
    assert entry["commit"] in entry["url"]
    assert entry["licence"]


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry["file"])
def test_a_list_that_is_here_is_that_list(entry):
    folder = os.environ.get("CROSSGRADE_DATA")
    path = Path(folder or "") / entry["file"]
    if not folder or not path.is_file():
        pytest.skip(f"$CROSSGRADE_DATA has no {entry['file']}")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
