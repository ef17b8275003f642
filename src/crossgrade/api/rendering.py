"""An assessment as text for a screen, a pipe or a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossgrade.values.assessment import Assessment
    from crossgrade.values.change import Changes
    from crossgrade.values.derivation import Derivation


def document(
    assessment: Assessment,
    *,
    changes: Changes | None = None,
    derivations: Sequence[Derivation] = (),
) -> dict[str, Any]:
    """Return the document that `--json` prints."""
    from crossgrade.records.codec import to_json
    from crossgrade.values.number_kinds import NUMBER_KINDS

    data = to_json(assessment) | {"number_kinds": to_json(NUMBER_KINDS)}
    if changes is not None:
        data["changes"] = to_json(changes)
    if derivations:
        data["derivations"] = to_json(derivations)
    return {"schema": 3, "command": "assess", "verdict": assessment.verdict, "data": data}


def render(
    assessment: Assessment,
    *,
    as_json: bool = False,
    everything: bool = False,
    terminal: bool = False,
    width: int = 120,
    colour: bool = False,
    changes: Changes | None = None,
    derivations: Sequence[Derivation] = (),
) -> str:
    """Return an assessment as text: JSON, terminal tables, or Markdown for pipes and files.

    With derivations, the text is these alone; JSON has both.
    """
    if as_json:
        from crossgrade.report.envelope import envelope

        body = document(assessment, changes=changes, derivations=derivations)
        return envelope("assess", body["data"], schema=body["schema"], verdict=body["verdict"])
    from crossgrade.report.assessment import assessment_document
    from crossgrade.report.derivation import derivation_document
    from crossgrade.report.shown import shown

    if derivations:
        found = derivation_document(assessment, derivations)
    else:
        found = assessment_document(assessment, everything=everything, changes=changes)
    return shown(found, terminal=terminal, width=width, colour=colour)
