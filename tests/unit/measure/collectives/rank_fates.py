"""Ranks to which something happens; imported in their processes.

What happens stands in the file that `$CROSSGRADE_TEST_FATE` names, as JSON: `rank`, `fate` and, for
some, `session`, `cell`, `op`. Without it they are ordinary ranks.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from crossgrade.measure.collectives import worker

look_job = worker.look_job
VARIABLE = "CROSSGRADE_TEST_FATE"


def _die(fate, message):
    if "round" in message:
        os.kill(os.getpid(), signal.SIGKILL)


def _die_at_cell(fate, message):
    if message.get("at") == fate["cell"]:
        os.kill(os.getpid(), signal.SIGSEGV)


def _hang(fate, message):
    if "round" in message:
        time.sleep(600)


def _raise(fate, message):
    if "round" in message:
        raise RuntimeError("the device is in a bad mood")


def _wrong(fate, message):
    """Corrupt one element that the rank receives, from now on."""
    if "rank" not in message:
        return
    from crossgrade.targets import process_group

    sound = process_group._LAUNCHES[fate["op"]]

    def corrupted(given, got, rank, ranks):
        sound(given, got, rank, ranks)
        got[5] += 1

    process_group._LAUNCHES[fate["op"]] = corrupted


def _extra(fate, message):
    """Do the own work of this rank six times instead of once."""
    if "rank" not in message:
        return
    from crossgrade.targets import process_group

    sound = process_group.ProcessGroup.own_work

    class Six:
        def __init__(self, kernel):
            self.kernel = kernel

        def launch(self):
            for _ in range(6):
                self.kernel.launch()

    process_group.ProcessGroup.own_work = lambda self: Six(sound(self))


def _crowded(fate, message):
    """Share the core of this rank with three processes that are busy all the time."""
    if "rank" not in message:
        return
    core = min(os.sched_getaffinity(0))
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), {core})
    for _ in range(3):
        if os.fork() == 0:  # in the group of this rank, which is killed as a whole
            end = time.monotonic() + 120
            while time.monotonic() < end:
                pass
            os._exit(0)


FATES = {
    "die": _die, "die-at-cell": _die_at_cell, "hang": _hang, "raise": _raise, "wrong": _wrong,
    "extra": _extra, "crowded": _crowded,
}  # fmt: skip


def rank_job(request):
    text = Path(os.environ[VARIABLE]).read_text()
    fate = json.loads(text) if text else {"rank": -1}
    hit = request["rank"] == fate["rank"] and request["index"] == fate.get(
        "session", request["index"]
    )
    for message in worker.rank_job(request):
        yield message
        if hit:
            FATES[fate["fate"]](fate, message)
