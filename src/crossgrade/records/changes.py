"""What changed between an earlier record of an assessment and a new answer.

Both are read as the JSON of the newest schema, so a record of an earlier version compares as far
as it knows. Must not know how numbers were found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crossgrade.units import bytes_, seconds, si
from crossgrade.values.change import Area, Change, Changes
from crossgrade.values.evidence import NumberClass
from crossgrade.values.record import Record

Json = Mapping[str, Any]
SAME = 1e-9
"""Relative difference below which two numbers are one."""
_SIZES = ("batch", "tokens", "context", "sizes", "training")
"""What must be equal; a record of an earlier schema does not know the last two."""
_MEMORY: tuple[tuple[str, NumberClass], ...] = (
    ("weights", "exact"), ("kv", "exact"), ("gradients", "exact"), ("optimizer", "exact"),
    ("peak_fused", "predicted"), ("peak_eager", "exact"), ("usable_per_chip", "assumed"),
)  # fmt: skip


def changes(old: Record, new: Json) -> Changes:
    """Return what differs.

    Args:
        old: the earlier record.
        new: the new answer as JSON, in the newest schema.
    """
    before = old.data
    remarks: list[str] = []
    if before["model"]["name"] != new["model"]["name"]:
        remarks.append(f"the record is of another model, {before['model']['name']}: most of what "
                       "differs is the model")  # fmt: skip
    pairs = list(_pairs(before, new, remarks))
    entries = [
        *_asked(before, new),
        *_mapping("versions", "", before["environment"], new["environment"]),
        *(c for _, a, b in _chips(before, new) for c in _constants(a, b)),
        *_assumptions(before, new),
        *(c for where, a, b in pairs for c in _operators(where, a, b)),
        *(c for where, a, b in pairs for c in _findings(where, a, b)),
        *(c for where, a, b in pairs for c in _memory(where, a, b)),
        *(c for where, a, b in pairs for c in _speed(where, a, b)),
        *(c for where, a, b in _chips(before, new) for c in _verdict(where, a, b)),
    ]
    return Changes(since=old.created, record=old.digest[:8], entries=tuple(entries),
                   remarks=tuple(remarks))  # fmt: skip


def _chips(before: Json, new: Json) -> Iterator[tuple[str, Json, Json]]:
    """Yield chips that both know."""
    known = {chip["chip"]: chip for chip in before["chips"]}
    for chip in new["chips"]:
        if chip["chip"] in known:
            yield chip["chip"], known[chip["chip"]], chip


def _pairs(before: Json, new: Json, remarks: list[str]) -> Iterator[tuple[str, Json, Json]]:
    """Yield phases of chips that both know at the same sizes; remark on the others."""
    old_names = [chip["chip"] for chip in before["chips"]]
    remarks += [f"{c['chip']}: not in the earlier record" for c in new["chips"]
                if c["chip"] not in old_names]  # fmt: skip
    remarks += [f"{name}: in the earlier record only" for name in old_names
                if name not in [c["chip"] for c in new["chips"]]]  # fmt: skip
    for name, a, b in _chips(before, new):
        known = {p["phase"]: p for p in a["phases"]}
        for phase in b["phases"]:
            earlier = known.get(phase["phase"])
            if earlier is None:
                remarks.append(f"{name} {phase['phase']}: not in the earlier record")
            elif _plan(earlier) != _plan(phase):
                remarks.append(f"{name} {phase['phase']}: trained otherwise than in the earlier "
                               "record")  # fmt: skip
            elif any(earlier[size] != phase[size] for size in _SIZES if earlier[size]):
                remarks.append(f"{name} {phase['phase']}: other sizes than in the earlier record")
            else:
                yield f"{name} {phase['phase']}", earlier, phase


def _plan(phase: Json) -> Json | None:
    """Return how a training step is run on a layout; None without one, or in an old record."""
    step = phase.get("step")
    return step["plan"] if step and phase.get("rank") else None


def _asked(before: Json, new: Json) -> Iterator[Change]:
    """Yield what makes it another question."""
    for key in ("weights_format", "parameters"):
        if before[key] != new[key]:
            yield Change(area="asked", place=key.replace("_", " "), before=str(before[key]),
                         after=str(new[key]))  # fmt: skip
    if before["model"]["name"] != new["model"]["name"]:
        yield Change(area="asked", place="model", before=before["model"]["name"],
                     after=new["model"]["name"])  # fmt: skip


def _mapping(
    area: Area, prefix: str, a: Mapping[str, str], b: Mapping[str, str]
) -> Iterator[Change]:
    """Yield entries of two mappings that differ."""
    for key in sorted({*a, *b}):
        if (a.get(key) or "") != (b.get(key) or ""):
            yield Change(area=area, place=f"{prefix}{key}", before=str(a.get(key, "")),
                         after=str(b.get(key, "")))  # fmt: skip


def _constants(a: Json, b: Json) -> Iterator[Change]:
    """Yield constants of a chip that differ, and another operator table."""
    name = b["chip"]
    if a["operator_table"] != b["operator_table"]:
        yield Change(area="versions", place=f"{name} operator table", before=a["operator_table"],
                     after=b["operator_table"])  # fmt: skip
    old = {c["name"]: c for c in a["constants"]}
    fresh = {c["name"]: c for c in b["constants"]}
    for key in dict.fromkeys([*old, *fresh]):
        was, now = old.get(key), fresh.get(key)
        if was and now and not _differ(was["value"], now["value"]):
            continue
        source = (f"{now['source']}, {now['date']}: {now['url']}",) if now else ()
        yield Change(
            area="constants",
            place=f"{name} {key}",
            before=_amount(was["value"], was["unit"]) if was else "",
            after=_amount(now["value"], now["unit"]) if now else "",
            kind=(now or was or {}).get("kind", "claimed"),
            ratio=_ratio(was["value"], now["value"]) if was and now else None,
            evidence=source,
        )


def _assumptions(before: Json, new: Json) -> Iterator[Change]:
    """Yield assumed rates that differ."""
    old = {a["name"]: a for a in before["assumptions"]}
    for row in new["assumptions"]:
        was = old.get(row["name"])
        for end in ("optimistic", "pessimistic"):
            if was is None or _differ(was[end], row[end]):
                yield Change(area="assumptions", place=f"{row['name']}, {end}",
                             before=f"{was[end]:g}" if was else "", after=f"{row[end]:g}",
                             kind="assumed", evidence=(row["source"],))  # fmt: skip


def _operators(where: str, a: Json, b: Json) -> Iterator[Change]:
    """Yield operators whose support level differs, new ones and gone ones."""
    old = {o["op"]: o for o in a["operators"]}
    fresh = {o["op"]: o for o in b["operators"]}
    for op in dict.fromkeys([*fresh, *old]):
        was, now = old.get(op), fresh.get(op)
        if was and now and was["level"] == now["level"]:
            continue
        yield Change(area="operators", place=f"{where}: {op}", before=was["level"] if was else "",
                     after=now["level"] if now else "",
                     evidence=tuple(now["evidence"]) if now else ())  # fmt: skip


def _findings(where: str, a: Json, b: Json) -> Iterator[Change]:
    """Yield findings that came or went; a figure in a title makes no other finding."""
    old, fresh = ({_identity(f): f for f in p["findings"]} for p in (a, b))
    for key in dict.fromkeys([*fresh, *old]):
        if key in old and key in fresh:
            continue
        found = fresh.get(key) or old[key]
        text = f"{found['severity']}: {found['title']}"
        yield Change(area="findings", place=f"{where}: {found['id']}",
                     before="" if key in fresh else text, after=text if key in fresh else "",
                     evidence=tuple(found["evidence"]) if key in fresh else ())  # fmt: skip


def _identity(finding: Json) -> tuple[str, ...]:
    """Return what makes two findings one: rule and what it is about."""
    rule = str(finding["data"].get("rule", ""))
    about = finding["title"].split(" ", 1)[0] if finding["id"].startswith("CG-F1") else ""
    return finding["id"], rule, "" if about.isdecimal() else about


def _memory(where: str, a: Json, b: Json) -> Iterator[Change]:
    """Yield memory figures that differ."""
    for key, kind in _MEMORY:
        was, now = a["memory"][key], b["memory"][key]
        if was is not None and now is not None and _differ(was, now):
            yield Change(area="memory", place=f"{where}: {key}", before=bytes_(was),
                         after=bytes_(now), kind=kind, ratio=_ratio(was, now))  # fmt: skip


def _speed(where: str, a: Json, b: Json) -> Iterator[Change]:
    """Yield the ends of the time band that differ."""
    if (a["speed"] is None) != (b["speed"] is None):
        yield Change(area="speed", place=where, before="unknown" if a["speed"] is None else "known",
                     after="unknown" if b["speed"] is None else "known")  # fmt: skip
    if a["speed"] is None or b["speed"] is None:
        return
    if a["layout"]["chips"] != b["layout"]["chips"]:
        yield Change(area="speed", place=f"{where}: chips", before=str(a["layout"]["chips"]),
                     after=str(b["layout"]["chips"]), kind="predicted")  # fmt: skip
    for end in ("low", "high"):
        was, now = a["speed"]["time_s"][end], b["speed"]["time_s"][end]
        name = b["speed"]["time_s"][f"{end}_name"]
        if _differ(was, now):
            yield Change(area="speed", place=f"{where}: time, {name}", before=seconds(was),
                         after=seconds(now), kind="predicted", ratio=_ratio(was, now))  # fmt: skip


def _verdict(where: str, a: Json, b: Json) -> Iterator[Change]:
    """Yield a verdict or a chip count that differs."""
    for key in ("verdict", "least_chips"):
        if a[key] != b[key]:
            yield Change(area="verdict", place=f"{where} {key.replace('_', ' ')}",
                         before=str(a[key]), after=str(b[key]))  # fmt: skip


def _differ(was: float, now: float) -> bool:
    return abs(was - now) > SAME * max(abs(was), abs(now))


def _ratio(was: float, now: float) -> float | None:
    return now / was if was > 0 and now > 0 else None


def _amount(value: float, unit: str) -> str:
    if unit == "byte":
        return bytes_(value)
    return f"{value:g}" if unit in ("", "1") else si(value, unit.replace("byte", "B"), digits=4)
