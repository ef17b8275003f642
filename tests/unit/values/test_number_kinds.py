"""Every plain number of an assessment says how it is known."""

from __future__ import annotations

import re

from crossgrade.api import AssessOptions, assess
from crossgrade.records.codec import to_json
from crossgrade.values.number_kinds import NUMBER_KINDS, kind_of


def numbers_in(value, path=""):
    """Yield the path of every number, list entries as `[]`."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from numbers_in(entry, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for entry in value:
            yield from numbers_in(entry, f"{path}[]")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path


def test_every_number_of_an_answer_is_classed(moe_config):
    options = AssessOptions(on=("ascend-950dt", "gaudi3"), phases=("decode", "train"), tokens=8,
                            prices={"gaudi3": 2.0})  # fmt: skip
    paths = set(numbers_in(to_json(assess(str(moe_config), options))))
    assert len(paths) > 50
    assert [p for p in sorted(paths) if kind_of(p) is None] == []


def test_the_longest_path_decides():
    assert kind_of("chips[].phases[].memory.peak_fused").kind == "predicted"
    assert kind_of("chips[].phases[].memory.peak_eager").kind == "exact"
    assert kind_of("chips[].phases[].findings[].data.calls").kind == "exact"
    assert kind_of("chips[].phases[].findings[].data.peak_bytes").kind == "predicted"
    assert kind_of("chips[].phases[].memory.kvx") is None
    assert kind_of("somewhere.else") is None


def test_no_path_is_named_twice():
    paths = [k.path for k in NUMBER_KINDS]
    assert len(set(paths)) == len(paths)
    assert all(re.fullmatch(r"[a-z_]+(\[\])?(\.[a-z_]+(\[\])?)*", p) for p in paths)
