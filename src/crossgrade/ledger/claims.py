"""The claims that ship with crossgrade, as values.

A series in the file shares model, chip and conditions; each of its points becomes one `Claim`
about the time per token, with the published throughput in its conditions. Must not know whether
a claim is believed, nor what our own predictions say.
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path

from crossgrade.errors import BadRecord, FutureSchema
from crossgrade.values.claim import Claim
from crossgrade.values.evidence import Source

DATA = Path(__file__).parent / "data" / "claims.toml"
"""The shipped claims."""
SCHEMA = 1
"""Newest version of the file format that this program reads."""
PHASES = ("prefill", "decode", "train")

_SHARED = frozenset(
    (
        "model",
        "chip",
        "phase",
        "chips",
        "weights",
        "tokens_per_step",
        "step_tokens",
        "conditions",
        "said_by",
    )
) | {"source", "points"}
_POINT = frozenset(("id", "batch", "context", "tpot_s", "tokens_per_s_per_chip"))


@functools.lru_cache(maxsize=1)
def load_claims() -> tuple[Claim, ...]:
    """Return the shipped claims in the order of their file.

    Raises:
        BadRecord: the file breaks its schema.
        FutureSchema: the file was written for a newer crossgrade.
    """
    return claims_from_toml(DATA.read_text(encoding="utf-8"), DATA.name)


def claims_for(
    model: str | None = None, chip: str | None = None, phase: str | None = None
) -> tuple[Claim, ...]:
    """Return the shipped claims about that model, chip and phase; None matches every one."""
    return tuple(
        claim
        for claim in load_claims()
        if model in (None, claim.model)
        and chip in (None, claim.chip)
        and phase in (None, claim.phase)
    )


def claims_from_toml(text: str, file: str = "<text>") -> tuple[Claim, ...]:
    """Return the claims of a TOML document.

    Args:
        text: the document.
        file: its name, for messages.

    Raises:
        BadRecord: no TOML, a key missing or unknown, a number not above zero, an id twice, or a
            throughput that contradicts batch, chips and time per token.
        FutureSchema: the document was written for a newer crossgrade.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadRecord(f"not TOML: {error}", where=file) from error
    schema = document.get("schema")
    if not isinstance(schema, int) or schema < 1:
        raise BadRecord("`schema` must be a whole number", where=file, hint="begin with schema = 1")
    if schema > SCHEMA:
        raise FutureSchema(f"claims have schema {schema}", where=file, hint="update crossgrade")
    sources = {source["id"]: Source(**source) for source in document.get("sources", [])}
    claims = tuple(
        _claim(series, point, sources, f"{file}: series[{index}]")
        for index, series in enumerate(document.get("series", []))
        for point in _points(series, f"{file}: series[{index}]")
    )
    ids = [claim.id for claim in claims]
    for name in ids:
        if ids.count(name) > 1:
            raise BadRecord(f"claim `{name}` stands twice", where=file, hint="ids are unique")
    return claims


def _points(series: Mapping[str, object], where: str) -> list[Mapping[str, object]]:
    """Return the points of a series after a check of its keys."""
    _keys(series, _SHARED, where)
    points = series["points"]
    if not isinstance(points, list):
        raise BadRecord("`points` must be a list of tables", where=where)
    return points


def _keys(table: Mapping[str, object], wanted: frozenset[str], where: str) -> None:
    """Refuse missing and unknown keys."""
    wrong = sorted(wanted ^ table.keys())
    if wrong:
        state = "missing" if wrong[0] in wanted else "unknown"
        raise BadRecord(f"key `{wrong[0]}` is {state}", where=where, hint=", ".join(sorted(wanted)))


def _claim(
    series: Mapping[str, object],
    point: Mapping[str, object],
    sources: Mapping[str, Source],
    where: str,
) -> Claim:
    """Return one claim, after its arithmetic was checked."""
    _keys(point, _POINT, where)
    where = f"{where} {point['id']}"
    source = sources.get(_text(series, "source", where))
    if source is None:
        raise BadRecord(f"source `{series['source']}` is not defined", where=where)
    if series["phase"] not in PHASES:
        raise BadRecord(f"phase `{series['phase']}`", where=where, hint=f"one of {PHASES}")
    chips, batch = int(_number(series, "chips", where)), int(_number(point, "batch", where))
    tpot_s = _number(point, "tpot_s", where)
    throughput = _number(point, "tokens_per_s_per_chip", where)
    _check_throughput(batch / chips / tpot_s, throughput, where)
    said = f"{_text(series, 'conditions', where)}; published with it: {throughput:g} tokens/s/chip"
    return Claim(
        id=_text(point, "id", where),
        model=_text(series, "model", where),
        chip=_text(series, "chip", where),
        phase=_text(series, "phase", where),
        chips=chips,
        batch=batch,
        context=int(_number(point, "context", where)),
        metric="tpot_s",
        value=tpot_s,
        weights=_text(series, "weights", where),
        conditions=said,
        said_by=_text(series, "said_by", where),
        source=source,
        tokens_per_step=_number(series, "tokens_per_step", where),
        step_tokens=int(_number(series, "step_tokens", where)),
    )


def _check_throughput(derived: float, published: float, where: str) -> None:
    """Refuse a published throughput that batch, chips and time per token do not give.

    TPOT counts per token of one sequence, so speculation is already in both numbers.
    """
    if abs(derived / published - 1) > 0.01:
        hint = f"batch / chips / TPOT is {derived:.6g}"
        raise BadRecord(f"throughput {published:g} contradicts TPOT", where=where, hint=hint)


def _text(table: Mapping[str, object], key: str, where: str) -> str:
    """Return a string that must not be empty."""
    value = table[key]
    if not isinstance(value, str) or not value:
        raise BadRecord(f"`{key}` must be a non-empty string", where=where)
    return value


def _number(table: Mapping[str, object], key: str, where: str) -> float:
    """Return a finite number above zero."""
    value = table[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRecord(f"`{key}` must be a number", where=where)
    if not math.isfinite(value) or value <= 0:
        raise BadRecord(f"`{key}` must be finite and above zero, not {value!r}", where=where)
    return float(value)
