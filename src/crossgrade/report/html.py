"""An assessment as one HTML file: no network, no library, readable without JavaScript.

The page holds its own data, style and script; a content security policy allows just these. All text
is escaped by the template engine. Must not know how anything was found out.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources
from typing import TYPE_CHECKING

from crossgrade.report import page_parts
from crossgrade.report.packed import script_json
from crossgrade.report.page import Page
from crossgrade.units import bytes_, count, figure, percent, seconds, si, things
from crossgrade.values.assessment import verdict_text

if TYPE_CHECKING:
    from jinja2 import Environment


def render_html(page: Page) -> str:
    """Return the page."""
    style, script = _asset("report.css"), _asset("report.js")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    template = _environment().get_template("report.html.jinja")
    return template.render(
        page=page,
        a=page.assessment,
        parts=page_parts,
        policy=policy,
        style=style,
        script=script,
        data=script_json(page.document),
        kinds=page_parts.kinds_together(),
        stem=re.sub(r"[^\w.-]+", "_", f"crossgrade-{page.assessment.model.name}"),
    )


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("crossgrade.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        bytes=bytes_, figure=figure, seconds=seconds, percent=percent, count=count, si=si,
        things=things, id=page_parts.anchor, inert=page_parts.inert,
        sentence=page_parts.sentence, raw=Markup,
    )  # fmt: skip
    environment.globals["verdict_text"] = verdict_text
    return environment


def _asset(name: str) -> str:
    """Return a file of the page's own, as it will stand between its tags."""
    return resources.files("crossgrade.report").joinpath("assets", name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
