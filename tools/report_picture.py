"""Draw the picture of the HTML report that stands in the README.

    python tools/report_picture.py docs/images/report.png deepseek-v4-pro ascend-950dt h200 ...

Needs playwright and a Chromium.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from crossgrade import api

WIDTH, HEIGHT = 1120, 1120


def main(picture: Path, model: str, chips: tuple[str, ...]) -> None:
    """Write the upper part of the page of one assessment as PNG."""
    options = api.AssessOptions(on=chips)
    answer = api.assess(model, options, narrate=lambda text: print(text, file=sys.stderr))
    page = api.report("html", answer, api.command_line(model, options))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "report.html"
        file.write_text(page, encoding="utf-8")
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        view = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        view.goto(file.as_uri())
        view.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], tuple(sys.argv[3:]))
