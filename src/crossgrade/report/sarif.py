"""Findings as SARIF 2.1.0, which code hosts show beside a change.

Format: OASIS Static Analysis Results Interchange Format, version 2.1.0. A finding about a chip has
no line of the user's code: its place is the model's file where there is one, and logical locations
name modules and operators. Findings of several chips that differ in figures alone are one result.
Must not know how findings are made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from crossgrade.report.merged import MergedFinding, merged_findings
from crossgrade.values.assessment import Assessment
from crossgrade.values.finding import Finding, Severity
from crossgrade.values.page import Page
from crossgrade.values.workload import ModelRef

_LEVEL: Mapping[Severity, str] = {"blocker": "error", "warning": "warning", "note": "note"}
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
    found = merged_findings(assessment, figures_apart=False)
    ids = sorted({m.first.id for m in found})
    driver = {
        "name": "crossgrade",
        "version": version,
        "rules": [_rule(rules[i]) for i in ids],
    }
    run = {
        "tool": {"driver": driver},
        "results": [_result(assessment, m, ids.index(m.first.id)) for m in found],
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


def _result(assessment: Assessment, merged: MergedFinding, index: int) -> dict[str, Any]:
    f = merged.first
    where = "; ".join(f"{chip}: {', '.join(phases)}" for chip, phases in merged.where.items())
    text = f"{f.title}. {f.hint[:1].upper()}{f.hint[1:]}. On {where}."
    if f.evidence:
        text += f" Because: {'; '.join(f.evidence)}."
    identity = f"{f.id}|{merged.gist}"
    return {
        "ruleId": f.id,
        "ruleIndex": index,
        "level": _LEVEL[f.severity],
        "message": {"text": text},
        "locations": [_location(assessment, f)],
        "partialFingerprints": {"finding/v1": hashlib.sha256(identity.encode()).hexdigest()},
        "properties": {"chips": list(merged.where), "timeShare": merged.time_share,
                       "timeShareKind": "predicted"},
    }  # fmt: skip


def _location(assessment: Assessment, f: Finding) -> dict[str, Any]:
    """Return the model's file where it has one, and the operators, modules and lines by name.

    Lines of libraries are no place in the user's repository, so they are names and not files.
    """
    places = f.place or (assessment.model.name,)
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": p} for p in places]}
    file = _file(assessment.model)
    if file:
        location["physicalLocation"] = {"artifactLocation": {"uri": file}}
    return location


def _file(model: ModelRef) -> str:
    """Return the model's file as a relative address; empty where it is none of the user's."""
    if model.kind == "preset" or model.passed.startswith(("/", "..")):
        return ""
    if model.kind == "factory":
        return model.passed.partition(":")[0].replace(".", "/") + ".py"
    return quote(model.passed.replace("\\", "/").removeprefix("./"), safe="/")
