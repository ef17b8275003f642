"""The docs as a site: strict, whole, nothing fetched from elsewhere, search from disk."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs")
ROOT = Path(__file__).parents[2]
LOADED = re.compile(
    r"""<(?:script|img|iframe)[^>]+src=["'](?:https?:)?//|<link[^>]+href=["'](?:https?:)?//"""
)


def build(folder: Path, config: Path = ROOT / "mkdocs.yml") -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config),
            "-d", str(folder)]  # fmt: skip
    return subprocess.run(line, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there(site):
    pages = {
        p.relative_to(ROOT / "docs").with_suffix(".html") for p in (ROOT / "docs").rglob("*.md")
    }
    assert {p for p in pages if not (site / p).is_file()} == set()
    assert (site / "contributing.html").is_file()


def test_nothing_is_fetched_from_elsewhere(site):
    for page in site.rglob("*.html"):
        assert not LOADED.search(page.read_text(encoding="utf-8")), page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import\s)[\"']?(https?:)?//", sheet.read_text("utf-8"))


def test_a_broken_link_fails(tmp_path):
    for name in ("docs", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("mkdocs.yml", "CONTRIBUTING.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    page = tmp_path / "docs" / "reference" / "record.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n[x](cli.md#no-such-heading)\n")
    done = build(tmp_path / "site", tmp_path / "mkdocs.yml")
    assert done.returncode == 1
    assert "no-such-heading" in done.stderr


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here")
def test_search_works_from_disk_in_a_browser(site):
    line = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
            "--virtual-time-budget=5000", "--dump-dom",
            f"file://{site}/reference/cli.html?q=composite"]  # fmt: skip
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert 'href="../reference/words.html#composite"' in done.stdout
    assert "CONSOLE" not in done.stderr
