"""End-to-end rows of aiconfigurator's silicon sample (Apache-2.0): TTFT and TPOT of services.

For scoring alone; nothing is ever fitted to them. `batch_size` counts the open requests of one
replica of attention. Rows of the public dashboard come with degrees that were made to fit another
tool's rule (tensor times data parallel equals expert tensor times expert parallel): where a product
of equal degrees stands in a column, each of them is the same ranks named twice, and a single node
of eight chips is what ran. Reading them so is ours; it is told in docs/howto/read-the-scorecard.md.
Must not know models or prices.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crossgrade.values.layout import Layout

FILE = "perf/aiconfigurator/silicon_sample.csv"
"""Below the folder of the large data sets."""
CHIPS = {"h100_sxm": "h100", "b200_sxm": "b200", "b300_sxm": "b300", "gb200": "gb200"}
"""Their name of a system -> our chip."""
_CONCURRENCY = re.compile(r"silicon_concurrency=([\d.]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedRow:
    """One measured load."""

    model: str
    """Model as the row names it, with its organisation."""
    precision: str
    """`fp8`, `fp4`, or empty for 16 bits."""
    chip: str
    """Name of the chip."""
    stack: str
    """`vllm`, `sglang` or `trtllm`."""
    version: str
    """Version of it, where the row says one."""
    layout: Layout
    """Of the instance."""
    users: int
    """Requests that are open at once."""
    prompt: int
    """Tokens of a prompt, at most."""
    output: int
    """Tokens of an answer, at most."""
    ranged: bool
    """Whether lengths are drawn from 80 % of these up, as the dashboard's benchmark does."""
    ttft_s: float
    """Measured time to the first token, s."""
    tpot_s: float
    """Measured time per output token, s."""


def served_rows(data: Path) -> Iterator[ServedRow]:
    """Yield the aggregated rows: one instance prefills and decodes.

    Args:
        data: the folder of the large data sets.
    """
    with (data / FILE).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["mode"] == "agg" and row["system"] in CHIPS:
                yield _served(row)


def _served(row: dict[str, str]) -> ServedRow:
    source = row["silicon_data_source"]
    public = source.startswith("db-dump") or "model=" in source
    layout = _layout(row, public=public)
    users = float(row["batch_size"]) * layout.dp
    told = _CONCURRENCY.search(source)
    if public and told and layout.dp > 1:
        users = float(told[1])
    return ServedRow(
        model=row["model_path"], precision=row["precision"], chip=CHIPS[row["system"]],
        stack=row["backend"], version=row["backend_version"], layout=layout, users=int(users),
        prompt=int(row["isl"]), output=int(row["osl"]), ranged=public,
        ttft_s=float(row["silicon_ttft_ms"]) / 1e3, tpot_s=float(row["silicon_tpot_ms"]) / 1e3,
    )  # fmt: skip


def _layout(row: dict[str, str], *, public: bool) -> Layout:
    tp, dp, ep, expert_tp = (
        max(int(float(row[name] or 0)), 1)
        for name in ("tp_size", "attention_dp_size", "moe_ep_size", "moe_tp_size")
    )
    twice = expert_tp * ep in (tp, dp) and expert_tp == ep > 1
    if public and twice:
        dp = ep if dp > 1 else 1
        tp = ep // dp
    elif public and dp > 1 and tp == dp and ep == tp * dp:
        tp, ep = 1, dp
    if tp * dp % ep:
        ep = 1
    return Layout(chips=tp * dp, kind="sharded", tp=tp, dp=dp, ep=ep)
