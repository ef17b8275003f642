"""A worker whose target fails where a case says so; imported in the worker's process.

A case may have the arguments `fate` (crash, hang, memory, raise), `at` (prepare, launch) and
`when`: `probe`, `session`, or the number of a session. The target `failing:FATE` fails when it is
opened.
"""

from __future__ import annotations

import os
import signal
import time

from crossgrade.errors import TargetAbsent
from crossgrade.measure import workers
from crossgrade.measure.events import ProbeRequest, SessionRequest
from crossgrade.records.typed import from_json
from crossgrade.targets.simulated import SimulatedDevice
from crossgrade.targets.simulated.device import SimulatedKernel


def _crash():
    os.kill(os.getpid(), signal.SIGSEGV)


def _hang():
    time.sleep(600)


def _memory():
    kept = []
    while True:
        kept.append(bytearray(1 << 24))


def _raise():
    raise RuntimeError("the device is in a bad mood")


FATES = {"crash": _crash, "hang": _hang, "memory": _memory, "raise": _raise}


class FailingKernel(SimulatedKernel):
    __slots__ = ("fate",)

    def launch(self):
        self.fate()

    def launch_many(self, count):
        self.fate()


class FailingDevice(SimulatedDevice):
    __slots__ = ("_session",)

    def __init__(self, opening, spec):
        super().__init__(opening=opening, spec=spec)
        self._session = opening.session

    def prepare(self, case, *, copies=1):
        wanted = case.arguments
        when = "probe" if self._session < 0 else "session"
        if "fate" not in wanted or wanted.get("when", "probe") not in (when, self._session):
            return super().prepare(case, copies=copies)
        fate = FATES[wanted["fate"]]
        if wanted.get("at") == "launch":
            kernel = FailingKernel(self, case, self._durations.of(case))
            kernel.fate = fate
            return kernel
        return fate()


def open_failing(spec, opening):
    fate = spec.partition(":")[2]
    if fate == "absent":
        raise TargetAbsent("no device is plugged in", hint="plug one in")
    if fate:
        FATES[fate]()
    return FailingDevice(opening, spec)


def probe_job(request):
    yield from workers.told(workers.probe(from_json(ProbeRequest, request), open_failing))


def take_job(request):
    yield from workers.told(workers.take(from_json(SessionRequest, request), open_failing))
