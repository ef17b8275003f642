"""Findings as SARIF 2.1.0, which code hosts show beside a change.

Format: OASIS Static Analysis Results Interchange Format, version 2.1.0. A finding about a chip has
no line of the user's code, so its place is the model file where there is one, and logical
locations name modules and operators. Must not know how findings are made.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from crossgrade.values.assessment import Assessment
from crossgrade.values.finding import Finding, Severity
from crossgrade.values.page import Page

_LEVEL: Mapping[Severity, str] = {"blocker": "error", "warning": "warning", "note": "note"}
_SOURCE_LINE = re.compile(r"^(?P<file>[\w./-]+\.py):(?P<line>\d+)")
_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def render_sarif(assessment: Assessment, *, version: str, rules: Mapping[str, Page]) -> str:
    """Return every finding as one SARIF log.

    Args:
        assessment: the answer.
        version: of crossgrade.
        rules: finding id -> the page that explains it.
    """
    found = [f for chip in assessment.chips for p in chip.phases for f in p.findings]
    ids = sorted({f.id for f in found})
    driver = {
        "name": "crossgrade",
        "version": version,
        "rules": [_rule(rules[i]) for i in ids],
    }
    run = {
        "tool": {"driver": driver},
        "results": [_result(assessment, f, ids.index(f.id)) for f in found],
        "properties": {"verdict": assessment.verdict, "model": assessment.model.name},
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _rule(page: Page) -> dict[str, Any]:
    return {
        "id": page.code,
        "shortDescription": {"text": page.title},
        "fullDescription": {"text": page.what},
        "help": {"text": f"{page.why}\n\n{page.do}", "markdown": f"{page.why}\n\n{page.do}"},
    }


def _result(assessment: Assessment, f: Finding, index: int) -> dict[str, Any]:
    text = f"{f.chip}, {f.phase}: {f.title}. {f.hint[:1].upper()}{f.hint[1:]}."
    if f.evidence:
        text += f" Because: {'; '.join(f.evidence)}."
    identity = f"{f.id}|{f.chip}|{f.phase}|{'|'.join(f.place)}"
    return {
        "ruleId": f.id,
        "ruleIndex": index,
        "level": _LEVEL[f.severity],
        "message": {"text": text},
        "locations": list(_locations(assessment, f)),
        "partialFingerprints": {"finding/v1": hashlib.sha256(identity.encode()).hexdigest()},
        "properties": {"chip": f.chip, "phase": f.phase, "calls": f.calls,
                       "timeShare": f.time_share, "timeShareKind": "predicted"},
    }  # fmt: skip


def _locations(assessment: Assessment, f: Finding) -> Iterator[dict[str, Any]]:
    """Yield one location: source lines if the capture knows them, else the model."""
    named = [_SOURCE_LINE.match(place) for place in f.place]
    match = next((m for m in named if m), None)
    if match:
        where = {"artifactLocation": {"uri": match["file"]},
                 "region": {"startLine": int(match["line"])}}  # fmt: skip
    else:
        where = {"artifactLocation": {"uri": _uri(assessment.model.passed)}}
    logical = [{"fullyQualifiedName": place} for place in f.place or (assessment.model.name,)]
    yield {"physicalLocation": where, "logicalLocations": logical}


def _uri(passed: str) -> str:
    """Return what the user named as a relative address: no scheme, no root, no spaces."""
    from urllib.parse import quote

    return quote(passed.replace("\\", "/").lstrip("/"), safe="/") or "model"
