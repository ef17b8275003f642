"""Measurements and their comparison as one HTML file each: no network, readable without JavaScript.

Must not know how anything was found out.
"""

from __future__ import annotations

import re

from crossgrade.report import bench_parts, comparison_parts
from crossgrade.report.bench_page import BenchPage, ComparisonPage
from crossgrade.report.bench_summary import bench_summary, comparison_summary
from crossgrade.report.html_base import rendered


def render_bench_html(page: BenchPage) -> str:
    """Return the page of a run."""
    return rendered("bench.html.jinja", bench_summary(page), page=page, parts=bench_parts,
                    stem=_stem(bench_parts.headline(page)))  # fmt: skip


def render_comparison_html(page: ComparisonPage) -> str:
    """Return the page of a comparison."""
    return rendered("comparison.html.jinja", comparison_summary(page), page=page,
                    parts=comparison_parts, stem=_stem(comparison_parts.heading(page)))  # fmt: skip


def _stem(name: str) -> str:
    """Return how downloads are called."""
    return "crossgrade-" + re.sub(r"[^A-Za-z0-9.-]+", "_", name)[:60]
