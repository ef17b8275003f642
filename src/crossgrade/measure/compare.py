"""Two measurements -> what differs, with intervals and a verdict per case.

Variants of one run are compared round by round. Of two runs each time is first divided by the
anchor's beside it, because a machine is not the same every day. Where the software changed too, an
anchor that changed settles nothing: it may be the software that changed it. Compared the other
way round it says the same. Must not know renderers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from crossgrade.errors import BadOption
from crossgrade.measure.effects import (
    FALSE_DISCOVERY,
    Effect,
    discoveries,
    paired,
    sessions_still_needed,
    verdict_of,
    welch,
)
from crossgrade.measure.sides import Side, clock_values, same_case, session_series
from crossgrade.measure.software import Environment, differences, is_software, without_targets
from crossgrade.measure.statistics import alpha_of
from crossgrade.units import percent, things
from crossgrade.values.bench import EXCUSED, BenchResult
from crossgrade.values.comparison import (
    Basis,
    CaseComparison,
    Comparison,
    ComparisonVerdict,
    Difference,
    SameDevice,
)
from crossgrade.values.operator_case import AbsentReason

Wanted = Literal["auto", "over-anchor", "absolute"]
"""auto: over the anchor on the same device and target, where it takes out what the machine does
from day to day; absolute on another one, where it would take out what the two differ in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPair:
    """Two measurements of the same case."""

    before: BenchResult
    """The first."""
    after: BenchResult
    """The second."""


def compare(
    before: BenchResult,
    after: BenchResult,
    *,
    margin: float = 0.02,
    basis: Wanted = "auto",
    environments: tuple[Environment, Environment] = ({}, {}),
) -> Comparison:
    """Return how a second measurement of the same variants differs from a first.

    Raises:
        BadOption: they do not measure the same, or the margin is not above 0.
    """
    pair = RunPair(before=before, after=after)
    return compare_many([pair], margin=margin, basis=basis, environments=environments)


def compare_many(
    pairs: Sequence[RunPair],
    *,
    margin: float = 0.02,
    basis: Wanted = "auto",
    environments: tuple[Environment, Environment] = ({}, {}),
    remarks: Sequence[str] = (),
) -> Comparison:
    """Return how a suite of measurements differs from an earlier one.

    Args:
        pairs: first and second measurement of each case.
        margin: differences up to this share are taken for none.
        basis: divide by the anchor, take times as they are, or choose by the device.
        environments: what is known of the two environments; facts of the targets are added.
        remarks: what could not be paired.

    Raises:
        BadOption: two of a pair do not measure the same, or the margin is not above 0.
    """
    check_margin(margin)
    said, cases = list(remarks), []
    for pair in pairs:
        _check_same(pair.before, pair.after)
        sides, alone = _sides(pair)
        software = _software(pair, environments)
        said += [*alone, *_excused(sides)]
        cases += [_unpaired(a, b, margin, basis, software) for a, b in sides
                  if not _excuse(a, b)]  # fmt: skip
    facts = ({}, {}) if not pairs else (_facts(p.before for p in pairs),
                                        _facts(p.after for p in pairs))  # fmt: skip
    return Comparison(
        margin=margin,
        false_discovery=FALSE_DISCOVERY,
        environment=differences({**environments[0], **facts[0]}, {**environments[1], **facts[1]}),
        cases=_discovered(cases),
        remarks=tuple(said),
    )


def compare_variants(result: BenchResult, *, margin: float = 0.02) -> Comparison:
    """Return how the other variants of one run differ from its baseline, paired by round.

    Raises:
        BadOption: the run has one variant only, or the margin is not above 0.
    """
    return compare_variants_of_all([result], margin=margin)


def compare_variants_of_all(results: Sequence[BenchResult], *, margin: float = 0.02) -> Comparison:
    """Return how in each run the other variants differ from its baseline, paired by round.

    What is called FASTER or SLOWER is held to the share of false ones over all runs at once.

    Raises:
        BadOption: a run has one variant only, or the margin is not above 0.
    """
    check_margin(margin)
    pairs: list[tuple[Side, Side]] = []
    for result in results:
        if len(result.plan.variants) < 2:
            raise BadOption(
                "the run has one variant only, so there is nothing to compare it with",
                hint="compare two runs, or time two variants together",
            )
        base, *others = (Side(result=result, variant=v) for v in range(len(result.plan.variants)))
        pairs += [(base, other) for other in others]
    cases = [_by_round(a, b, margin) for a, b in pairs if not _excuse(a, b)]
    return Comparison(margin=margin, false_discovery=FALSE_DISCOVERY, environment=(),
                      cases=_discovered(cases), remarks=tuple(_excused(pairs)))  # fmt: skip


def judged_variants(
    results: Sequence[BenchResult], *, margin: float = 0.02
) -> tuple[Mapping[str, CaseComparison], ...]:
    """Return per run: variant -> how it differs from the baseline, as `compare_variants_of_all`.

    The baseline itself, and what has no number on either side for a reason that stays, is not in
    it.
    """
    check_margin(margin)
    sides = [[Side(result=r, variant=v) for v in range(len(r.plan.variants))] for r in results]
    asked = [(place, base, other) for place, (base, *others) in enumerate(sides)
             for other in others if not _excuse(base, other)]  # fmt: skip
    cases = _discovered([_by_round(base, other, margin) for _, base, other in asked])
    found: list[dict[str, CaseComparison]] = [{} for _ in results]
    for (place, _, other), case in zip(asked, cases, strict=True):
        found[place][other.result.plan.variants[other.variant].name] = case
    return tuple(found)


def pairs_of(
    before: Sequence[BenchResult], after: Sequence[BenchResult]
) -> tuple[tuple[RunPair, ...], tuple[str, ...]]:
    """Return measurements of two suites that time the same, and remarks on those left over.

    Two runs that have no target in common, and one each, are matched by case.
    """
    earlier = {_identity(r): r for r in before}
    later = {_identity(r): r for r in after}
    if all(len(r.plan.variants) == 1 for r in (*before, *after)) and not (
        _targets(before) & _targets(after)
    ):
        earlier = {_case_identity(r): r for r in before}
        later = {_case_identity(r): r for r in after}
    pairs = tuple(RunPair(before=earlier[k], after=r) for k, r in later.items() if k in earlier)
    remarks = [f"{_title(r)}: in the first only" for k, r in earlier.items() if k not in later]
    remarks += [f"{_title(r)}: in the second only" for k, r in later.items() if k not in earlier]
    twice = len(before) + len(after) - len(earlier) - len(later)
    if twice:
        remarks.append(f"{twice} more of a case that is there already: the last one counts")
    return pairs, tuple(remarks)


def check_margin(margin: float) -> None:
    """Refuse a margin that makes no sense; BadOption."""
    if not 0 < margin < 1:
        raise BadOption(f"a margin lies above 0 and below 1: {margin:g}", hint="0.02 is 2 %")


def _check_same(a: BenchResult, b: BenchResult) -> None:
    """Refuse what would compare two different things."""
    if a.semantics != b.semantics:
        raise BadOption(f"the meaning of the numbers changed from generation {a.semantics} to "
                        f"{b.semantics}", hint="measure again")  # fmt: skip
    if a.plan.cache != b.plan.cache:
        raise BadOption(f"{_title(a)}: {a.plan.cache} and {b.plan.cache} caches are two metrics",
                        hint="measure both with the same --cache")  # fmt: skip


def _sides(pair: RunPair) -> tuple[list[tuple[Side, Side]], list[str]]:
    """Return variants of the same name, or the only ones, and remarks on those left over."""
    a, b = pair.before, pair.after
    names_a, names_b = ([v.name for v in r.plan.variants] for r in (a, b))
    if len(names_a) == len(names_b) == 1:
        names_b = names_a
    found = [(Side(result=a, variant=i), Side(result=b, variant=names_b.index(name)))
             for i, name in enumerate(names_a) if name in names_b]  # fmt: skip
    for first, second in found:
        if not same_case(first.case, second.case):
            raise BadOption(
                f"'{first.case.title}' and '{second.case.title}' are not the same case",
                hint="time them as variants of one run to compare different work",
            )
    alone = [f"variant {name}: in the first only" for name in names_a if name not in names_b]
    alone += [f"variant {name}: in the second only" for name in names_b if name not in names_a]
    return found, alone


def _by_round(a: Side, b: Side, margin: float) -> CaseComparison:
    """Return two variants of one run."""
    remarks = [] if same_case(a.case, b.case) else [f"not the same work: {a.case.title}"]
    if a.row.status == "absent" or b.row.status == "absent":
        return _missing(a, b)
    values = session_series(a.result, b.variant, a.variant).values
    if not len(values):
        return _missing(a, b)
    effect = paired(values, alpha_of(a.result.plan))
    return _judged(a, b, effect, margin, "by-round", remarks)


def _excuse(a: Side, b: Side) -> AbsentReason | None:
    """Return why neither can have a number, where that is nothing to settle."""
    reason = a.row.reason
    return reason if reason == b.row.reason and reason in EXCUSED else None


def _excused(pairs: Iterable[tuple[Side, Side]]) -> list[str]:
    """Return remarks on what has no number on either side, for a reason that stays."""
    return [f"{a.case.title} ({b.name}): neither has a number: {reason}: {b.row.detail}"
            for a, b in pairs if (reason := _excuse(a, b))]  # fmt: skip


def _unpaired(
    a: Side, b: Side, margin: float, wanted: Wanted, software: Sequence[Difference]
) -> CaseComparison:
    """Return one variant of two runs."""
    if a.row.status == "absent" or b.row.status == "absent":
        return _missing(a, b)
    alpha = min(alpha_of(a.result.plan), alpha_of(b.result.plan))
    absolute = welch(a.values(), b.values(), alpha)
    basis, remarks = _basis(a, b, wanted)
    effect = absolute if basis == "absolute" else welch(a.over_anchor(), b.over_anchor(), alpha)
    remarks += _device_remarks(a, b, basis, absolute, bool(software))
    found = _judged(a, b, effect, margin, basis, remarks)
    found = _same_timers(a, b, found)
    found = _in_cycles(a, b, found)
    if basis == "absolute":
        return found
    found = dataclasses.replace(found, absolute=absolute.interval)
    return _as_the_anchor(a, b, margin, software, found)


def _basis(a: Side, b: Side, wanted: Wanted) -> tuple[Basis, list[str]]:
    """Return what can be compared, and why not what is better."""
    if wanted == "absolute":
        return "absolute", ["times as they are, as asked: a slower day of the machine counts"]
    if wanted == "auto" and (_device(a, b) == "other" or a.target != b.target):
        return "absolute", ["times as they are: over the anchor of each, what the two devices or "
                            "targets differ in would cancel"]  # fmt: skip
    if not same_case(a.result.plan.anchor, b.result.plan.anchor):
        return "absolute", ["the anchors are not the same kernel, so times are compared as they "
                            "are: a slower day of the machine counts"]  # fmt: skip
    if not len(a.over_anchor()) or not len(b.over_anchor()):
        return "absolute", ["the anchor is missing, so times are compared as they are: a slower "
                            "day of the machine counts"]  # fmt: skip
    return "over-anchor", []


def _device_remarks(a: Side, b: Side, basis: Basis, absolute: Effect, software: bool) -> list[str]:
    """Return what the anchor and the names of the devices say."""
    remarks = []
    there = _device(a, b)
    if there == "other":
        remarks.append(f"other device: {a.device} and {b.device}")
    elif there == "unknown":
        remarks.append("whether it is the same device is not known")
    if a.target != b.target:
        remarks.append(f"other target: {a.target} and {b.target}")
    alike = _alike(a, b)
    if basis == "over-anchor" and not alike:
        remarks.append("the ratio is over the anchor of each; as it is, the time is "
                       f"{absolute.interval.value:.3f} times that of the first")  # fmt: skip
    pace = _pace(a, b)
    if pace is not None:
        what = "the machine or the software" if software else "the machine"
        how = "slower" if pace.shift > 0 else "faster"
        share = percent(abs(pace.interval.value - 1))
        remarks.append(f"by the anchor, {what} ran {share} {how} for the second")
    return remarks


def _alike(a: Side, b: Side) -> bool:
    """Return whether it is the same target, and as far as is known the same device."""
    return _device(a, b) != "other" and a.target == b.target


def _pace(a: Side, b: Side) -> Effect | None:
    """Return by how much the anchor itself ran slower, where that is more than its noise."""
    if not _alike(a, b) or not same_case(a.result.plan.anchor, b.result.plan.anchor):
        return None
    first, second = a.anchor_values(), b.anchor_values()
    if min(len(first), len(second)) < 2:
        return None
    anchor = welch(first, second)
    return anchor if anchor.significant else None


def _judged(
    a: Side, b: Side, effect: Effect, margin: float, basis: Basis, remarks: Iterable[str]
) -> CaseComparison:
    sessions = (len(a.values()), len(b.values()))
    verdict = verdict_of(effect, margin)
    needed = None
    if verdict == "INCONCLUSIVE":
        needed = sessions_still_needed(effect, min(sessions), margin)
    return CaseComparison(
        title=a.case.title, before=a.name, after=b.name, verdict=verdict, basis=basis,
        device=_device(a, b), ratio=effect.interval, absolute=None, before_s=a.row.time_s,
        after_s=b.row.time_s, p_value=effect.p_value, sessions=sessions, sessions_needed=needed,
        remarks=tuple(remarks),
    )  # fmt: skip


def _missing(a: Side, b: Side) -> CaseComparison:
    """Return a case of which one has no number."""
    remarks = [f"{which} has no number: {s.row.reason}: {s.row.detail}"
               for which, s in (("the first", a), ("the second", b))
               if s.row.status == "absent"]  # fmt: skip
    return CaseComparison(
        title=a.case.title, before=a.name, after=b.name, verdict="INCONCLUSIVE", basis=None,
        device=_device(a, b), ratio=None, absolute=None, before_s=a.row.time_s,
        after_s=b.row.time_s, p_value=None, sessions=(len(a.values()), len(b.values())),
        sessions_needed=None, remarks=tuple(remarks) or ("no round in which both count",),
    )  # fmt: skip


def _as_the_anchor(
    a: Side, b: Side, margin: float, software: Sequence[Difference], case: CaseComparison
) -> CaseComparison:
    """Return the case, unsettled where the anchor may have changed with the software.

    The anchor is an operator too. What made it slower divides out, and where that is the new
    software a real change is hidden, or one that is not there appears.
    """
    pace = _pace(a, b)
    changed = pace is not None and verdict_of(pace, margin) in ("FASTER", "SLOWER")
    if not software or not changed or not case.ratio or not case.absolute:
        return case
    names = ", ".join(d.key for d in software[:3])
    more = f" and {things(len(software) - 3, 'more fact')}" if len(software) > 3 else ""
    return _unsettled(
        case,
        f"the anchor itself changed together with the software ({names}{more}): what is the "
        "machine and what the software cannot be told; over the anchor the second takes "
        f"{case.ratio.value:.3f} times as long, as it is {case.absolute.value:.3f} times; measure "
        "both on one day, and compare them with --basis absolute",
    )


def _same_timers(a: Side, b: Side, case: CaseComparison) -> CaseComparison:
    """Return the case, unsettled where one was timed by the device and the other by the host."""
    if {t == "device-event" for t in a.timers} == {t == "device-event" for t in b.timers}:
        return case
    ways = " and ".join("/".join(side.timers) for side in (a, b))
    return _unsettled(case, f"timed in different ways, {ways}: these do not compare")


def _in_cycles(a: Side, b: Side, case: CaseComparison) -> CaseComparison:
    """Return the case, unsettled where clock cycles, if known, do not say the same."""
    first, second = clock_values(a), clock_values(b)
    if case.verdict not in ("FASTER", "SLOWER") or case.device == "other":
        return case
    if not len(first) or not len(second):
        return case
    cycles = float(second.mean() - first.mean())
    if (cycles > 0) == (case.verdict == "SLOWER") and cycles != 0:
        return case
    return _unsettled(case, f"in clock cycles it is not {case.verdict}: the clock of the device "
                            "changed between the two")  # fmt: skip


def _unsettled(case: CaseComparison, remark: str) -> CaseComparison:
    verdict: ComparisonVerdict = "INCONCLUSIVE"
    return dataclasses.replace(case, verdict=verdict, sessions_needed=None,
                               remarks=(*case.remarks, remark))  # fmt: skip


def _discovered(cases: Sequence[CaseComparison]) -> tuple[CaseComparison, ...]:
    """Return the cases, those unsettled that many comparisons would find by chance."""
    tested = [c.p_value for c in cases if c.p_value is not None]
    kept = iter(discoveries(tested))
    found = []
    for case in cases:
        real = case.p_value is not None and next(kept)
        if case.verdict in ("FASTER", "SLOWER") and not real:
            case = _unsettled(case, f"among {len(tested)} cases this may be chance: it would be "
                                    f"{case.verdict} alone")  # fmt: skip
        found.append(case)
    return tuple(found)


def _device(a: Side, b: Side) -> SameDevice:
    if not a.device or not b.device:
        return "same" if a.result is b.result and a.target == b.target else "unknown"
    return "same" if a.device == b.device else "other"


def _identity(result: BenchResult) -> tuple[str, ...]:
    """Return what makes two measurements comparable: what is timed, and the state of caches."""
    return (result.plan.cache, *(f"{v.name} {v.case.key}" for v in result.plan.variants))


def _case_identity(result: BenchResult) -> tuple[str, ...]:
    """Return the cases that a run times, wherever it does."""
    return (result.plan.cache, *(v.case.key for v in result.plan.variants))


def _targets(results: Iterable[BenchResult]) -> set[str]:
    return {v.target for r in results for v in r.plan.variants}


def _title(result: BenchResult) -> str:
    return result.plan.variants[0].case.title


def _facts(results: Iterable[BenchResult]) -> dict[str, str]:
    """Return what targets say of themselves."""
    return {f"{audit.target} {name}": value
            for r in results for audit in r.audits for name, value in audit.facts}  # fmt: skip


def _software(pair: RunPair, environments: tuple[Environment, Environment]) -> list[Difference]:
    """Return in what software the two of a pair differ; other targets of the runs aside."""
    before, after = ({**without_targets(known), **_facts([result])}
                     for known, result in zip(environments, (pair.before, pair.after),
                                              strict=True))  # fmt: skip
    return [d for d in differences(before, after) if is_software(d.key)]
