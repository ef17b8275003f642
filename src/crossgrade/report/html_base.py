"""What every HTML page has: a policy that lets it load nothing, its style, its script, its data.

All text is escaped by the template engine, and characters that turn or hide text become `?`. Must
not know what stands on a page.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

from crossgrade.report import page_parts
from crossgrade.report.packed import script_json
from crossgrade.units import bytes_, count, figure, percent, seconds, si, things

if TYPE_CHECKING:
    from jinja2 import Environment


def rendered(template: str, document: Mapping[str, Any], **context: Any) -> str:
    """Return a page.

    Args:
        template: its file in `assets`.
        document: the data that is embedded.
        context: what the template asks for.
    """
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
    return (
        _environment()
        .get_template(template)
        .render(policy=policy, style=style, script=script, data=script_json(document), **context)
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
        finalize=_finalized,
    )
    environment.filters.update(
        bytes=bytes_, figure=figure, seconds=seconds, percent=percent, count=count, si=si,
        things=things, id=page_parts.anchor, inert=page_parts.inert,
        sentence=page_parts.sentence, raw=Markup, coded=_coded,
    )  # fmt: skip
    return environment


def _coded(text: str) -> str:
    """Return text in which what stands between backticks is set as code."""
    from markupsafe import Markup, escape

    parts = [escape(page_parts.inert(part)) for part in text.split("`")]
    if len(parts) % 2 == 0:
        return page_parts.inert(text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if n % 2 else part
                           for n, part in enumerate(parts))  # fmt: skip


def _finalized(value: Any) -> Any:
    """Return what is put on the page; text that is not markup is made inert."""
    return page_parts.inert(value) if type(value) is str else value


def _asset(name: str) -> str:
    """Return a file of the page's own, as it will stand between its tags."""
    return resources.files("crossgrade.report").joinpath("assets", name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
