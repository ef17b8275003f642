"""An assessment as one HTML file: no network, no library, readable without JavaScript.

The page holds its own data, style and script; a content security policy allows just these. All text
is escaped by the template engine. Must not know how anything was found out.
"""

from __future__ import annotations

import re

from crossgrade.report import page_parts
from crossgrade.report.html_base import rendered
from crossgrade.report.page import Page
from crossgrade.values.assessment import verdict_text


def render_html(page: Page) -> str:
    """Return the page."""
    return rendered(
        "report.html.jinja",
        page.document,
        page=page,
        a=page.assessment,
        parts=page_parts,
        kinds=page_parts.kinds_together(),
        stem=re.sub(r"[^\w.-]+", "_", f"crossgrade-{page.assessment.model.name}"),
        verdict_text=verdict_text,
    )
