"""Which timer of a target may be believed: asked before any number is printed.

Every timer goes through eight checks on real work. The best one that passes all is used; if none
does, there is no number. Must not know vendors, nor how a check is made.
"""

from __future__ import annotations

from crossgrade.measure.audit_checks import CHECKS, resolution_ns
from crossgrade.measure.audit_scene import Probe, Scene, set_probe, set_scene
from crossgrade.targets.protocol import Target, Timer
from crossgrade.values.audit import AuditCheck, AuditReport, CheckName, TimerAudit
from crossgrade.values.operator_case import CannotRun, OperatorCase


def audit(target: Target, anchor: OperatorCase, *, limit_s: float = 5.0) -> AuditReport:
    """Return the timers of a target under all checks, and the one that may be used.

    Args:
        target: What is audited; its own clock counts.
        anchor: Heavy work; a call of it should take less than 5 ms.
        limit_s: Time for all timers, s. A slow anchor leaves fewer repeats, which the checks say;
            repeats do not fall below what a check needs, so a very slow one takes longer.
    """
    start = target.clock_ns()
    timers = target.timers()
    share_ns = 1e9 * limit_s / max(1, len(timers))
    try:
        scene = set_scene(target, anchor, share_ns)
    except CannotRun as refused:
        return _report(target, start, (_broken(timers[0], str(refused)),) if timers else ())
    try:
        return _report(target, start, tuple(_timer_audit(scene, timer) for timer in timers))
    finally:
        scene.heavy.close()
        scene.empty.close()


def _report(target: Target, start_ns: int, timers: tuple[TimerAudit, ...]) -> AuditReport:
    return AuditReport(
        target=target.spec,
        chosen=next((timer.kind for timer in timers if timer.survived), None),
        timers=timers,
        seconds=(target.clock_ns() - start_ns) / 1e9,
        facts=tuple(target.facts().items()),
    )


def _timer_audit(scene: Scene, timer: Timer) -> TimerAudit:
    try:
        probe = set_probe(scene, timer)
    except Exception as error:  # a runtime may raise anything: events that it does not have
        return _broken(timer, f"{type(error).__name__}: {error}")
    step = resolution_ns(probe)
    return TimerAudit(
        kind=timer.kind,
        resolution_s=None if step is None else step / 1e9,
        overhead_s=None if probe.overhead_ns is None else probe.overhead_ns / 1e9,
        checks=tuple(_check(name, probe) for name in CHECKS),
    )


def _check(name: CheckName, probe: Probe) -> AuditCheck:
    try:
        return CHECKS[name](probe)
    except Exception as error:  # as above: what raises here may not be used
        return _raised(name, f"{type(error).__name__}: {error}")


def _broken(timer: Timer, why: str) -> TimerAudit:
    """Return a timer that could not be tried at all."""
    return TimerAudit(
        kind=timer.kind, resolution_s=None, overhead_s=None, checks=(_raised("finite", why),)
    )


def _raised(name: CheckName, why: str) -> AuditCheck:
    return AuditCheck(name=name, passed=False, value=None, limit="can be taken", detail=why)
