"""An assessment as text for a screen, a pipe or a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossgrade.values.assessment import Assessment
    from crossgrade.values.change import Changes
    from crossgrade.values.derivation import Derivation
    from crossgrade.values.explanation import PhaseExplanation


def document(
    assessment: Assessment,
    *,
    changes: Changes | None = None,
    derivations: Sequence[Derivation] = (),
    explanations: Sequence[PhaseExplanation] | None = None,
) -> dict[str, Any]:
    """Return the document that `--json` prints."""
    from crossgrade.records.codec import to_json
    from crossgrade.values.number_kinds import NUMBER_KINDS

    data = to_json(assessment) | {"number_kinds": to_json(NUMBER_KINDS)}
    if changes is not None:
        data["changes"] = to_json(changes)
    if derivations:
        data["derivations"] = to_json(derivations)
    if explanations is not None:
        data["explanations"] = to_json(explanations)
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
    explanations: Sequence[PhaseExplanation] | None = None,
) -> str:
    """Return an assessment as text: JSON, terminal tables, or Markdown for pipes and files.

    With derivations or explanations, the text is these alone; JSON has the answer too.
    """
    if as_json:
        from crossgrade.report.envelope import envelope

        body = document(assessment, changes=changes, derivations=derivations,
                        explanations=explanations)  # fmt: skip
        return envelope("assess", body["data"], schema=body["schema"], verdict=body["verdict"])
    from crossgrade.report.assessment import assessment_document
    from crossgrade.report.derivation import derivation_document
    from crossgrade.report.explained import explained_document
    from crossgrade.report.shown import shown

    if derivations:
        found = derivation_document(assessment, derivations)
    elif explanations is not None:
        found = explained_document(assessment, explanations, everything=everything)
    else:
        found = assessment_document(assessment, everything=everything, changes=changes)
    return shown(found, terminal=terminal, width=width, colour=colour)
