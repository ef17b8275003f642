"""Size of the HTML report, and how long a browser takes to open it.

    python benchmarks/report.py [MODEL] [--on CHIP ...]

Prints measured figures: bytes of the page and of its parts, seconds to render it, and seconds from
the request to the end of its load event in headless Chromium, over several openings.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from crossgrade import api

CHIPS = ("ascend-950dt", "h200", "ascend-910b2", "ascend-910c", "ascend-950pr", "b200", "mi300x",
         "gaudi3")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="deepseek-v4-pro")
    parser.add_argument("--on", nargs="+", default=CHIPS)
    parser.add_argument("--runs", type=int, default=7)
    given = parser.parse_args()
    options = api.AssessOptions(on=tuple(given.on))
    answer = api.assess(given.model, options)
    start = time.perf_counter()
    page = api.report("html", answer, api.command_line(given.model, options))
    print(f"{given.model} on {len(given.on)} chips")
    print(f"render          {time.perf_counter() - start:8.2f} s")
    print(f"page            {len(page.encode()) / 1e3:8.1f} kB")
    for name, pattern in (("embedded JSON", r'<script id="data".*?</script>'),
                          ("JavaScript", r"<script>.*?</script>"), ("style", r"<style.*?</style>"),
                          ("SVG", r"<svg.*?</svg>")):  # fmt: skip
        size = sum(len(part.encode()) for part in re.findall(pattern, page, re.DOTALL))
        print(f"  {name:13} {size / 1e3:8.1f} kB")
    times = opened(page, given.runs)
    print(f"open            {statistics.median(times):8.3f} s, median of {len(times)}; "
          f"{min(times):.3f} to {max(times):.3f}")  # fmt: skip


def opened(page: str, runs: int) -> list[float]:
    """Return seconds until the load event has ended, per opening."""
    from playwright.sync_api import sync_playwright

    times = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "report.html"
        file.write_text(page, encoding="utf-8")
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for _ in range(runs):
            view = browser.new_page()
            view.goto(file.as_uri())
            timing = "performance.getEntriesByType('navigation')[0].loadEventEnd / 1000"
            times.append(float(view.evaluate(timing)))
            view.close()
        browser.close()
    return times


if __name__ == "__main__":
    main()
