"""The main job at full size: DeepSeek-V4-Pro on four chips. Slow; `make test-all` runs it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_deepseek_v4_pro_on_four_chips():
    done = subprocess.run(
        [sys.executable, "-m", "crossgrade", "assess", "deepseek-v4-pro", "--on", "ascend-950dt",
         "--on", "ascend-910c", "--on", "h200", "--on", "mi300x", "--json"],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)["data"]
    least = {c["chip"]: c["least_chips"] for c in data["chips"]}
    assert least == {"ascend-950dt": 7, "ascend-910c": 8, "h200": 7, "mi300x": 5}
    weights = data["chips"][0]["phases"][0]["memory"]["weights"]
    assert weights == pytest.approx(0.85e12, rel=0.01)
    [claim] = data["chips"][0]["phases"][1]["claims"]
    assert claim["claim"]["model"] == "deepseek-v4-pro"
    assert claim["inside"] is True
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 3e6
