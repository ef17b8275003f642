"""An assessment as text for a screen, a pipe or a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossgrade.values.assessment import Assessment


def render(
    assessment: Assessment,
    *,
    as_json: bool = False,
    everything: bool = False,
    terminal: bool = False,
    width: int = 120,
    colour: bool = False,
) -> str:
    """Return an assessment as text: JSON, terminal tables, or Markdown for pipes and files."""
    if as_json:
        import json

        from crossgrade.records.codec import to_json
        from crossgrade.values.number_kinds import NUMBER_KINDS

        data = to_json(assessment) | {"number_kinds": to_json(NUMBER_KINDS)}
        body = {"schema": 3, "command": "assess", "verdict": assessment.verdict, "data": data}
        return json.dumps(body, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    from crossgrade.report.assessment import assessment_document

    document = assessment_document(assessment, everything=everything)
    if terminal:
        from crossgrade.report.terminal import render_terminal

        return render_terminal(document, width=width, colour=colour)
    from crossgrade.report.markdown import render_markdown

    return render_markdown(document)
