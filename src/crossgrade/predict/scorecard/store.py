"""Lines of the scorecard <-> JSON, so that the page can be made again without the tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from crossgrade.predict.scorecard.line import Anchor, Goal, Line
from crossgrade.predict.silicon.score import Score
from crossgrade.values.plain import to_json


def dump(lines: list[Line], path: Path) -> None:
    """Write lines; the file appears whole or not at all."""
    rounded = [_rounded(to_json(line)) for line in lines]
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(rounded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def load(path: Path) -> list[Line]:
    """Return the lines of a file."""
    return [_line(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def _rounded(value: Any) -> Any:
    """Return numbers with six digits: noise of a last bit makes no new file."""
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _score(entry: dict[str, Any]) -> Score:
    given: dict[str, Any] = {k: float(v) if v == "NaN" else v for k, v in entry.items()}
    return Score(**given)


def _line(entry: dict[str, Any]) -> Line:
    anchors = tuple(
        Anchor(**{**a, "score": _score(a["score"]) if a["score"] else None})
        for a in entry["anchors"]
    )
    goals = tuple(Goal(**g) for g in entry["goals"])
    return Line(**{**entry, "score": _score(entry["score"]), "anchors": anchors, "goals": goals})
