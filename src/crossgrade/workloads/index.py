"""The shipped configurations as a table, from an index that was derived before.

`data/index.json` is written by `python tools/model_index.py`; a test holds it to the
configurations. Must not know torch: listing builds nothing.
"""

from __future__ import annotations

import difflib
import fnmatch
import functools
import json
from importlib import resources

from crossgrade.errors import UnknownModel
from crossgrade.values.preset import PresetSummary
from crossgrade.workloads.resolve import preset_names


@functools.cache
def preset_table() -> tuple[PresetSummary, ...]:
    """Return one row per shipped configuration; one that the index lacks has a name alone."""
    file = resources.files("crossgrade.workloads").joinpath("data", "index.json")
    rows = {row["name"]: PresetSummary(**row) for row in json.loads(file.read_text("utf-8"))}
    return tuple(rows.get(name) or _unknown(name) for name in preset_names())


def matching_presets(pattern: str) -> tuple[PresetSummary, ...]:
    """Return the rows whose name, family, architecture or kind matches, in any case.

    Args:
        pattern: a part of the text, or a whole text with `*` and `?`.

    Raises:
        UnknownModel: no row matches; the hint names close ones.
    """
    wanted = pattern.strip().lower()
    glob = wanted if any(c in wanted for c in "*?[") else f"*{_literal(wanted)}*"
    found = tuple(
        row for row in preset_table()
        if any(fnmatch.fnmatchcase(text.lower(), glob)
               for text in (row.name, row.family, row.architecture, row.kind))
    )  # fmt: skip
    if found:
        return found
    close = difflib.get_close_matches(wanted, preset_names(), n=3, cutoff=0.5)
    raise UnknownModel(
        f"no preset matches '{pattern[:80]}'",
        hint=(f"did you mean {', '.join(close)}? " if close else "")
        + "`crossgrade models` lists all",
    )


def _literal(text: str) -> str:
    return text.replace("]", "[]]")


def _unknown(name: str) -> PresetSummary:
    return PresetSummary(
        name=name, family="", architecture="", kind="", parameters=None, weights="", source=""
    )
