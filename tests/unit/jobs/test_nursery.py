"""A nursery has only imported; its death is told, and its children compute."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from crossgrade.jobs.forking import SUPPORTED, Nursery, NurseryFailed
from crossgrade.jobs.run import Job, run

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="jobs are forked on Linux only")


def job(name: str, **arguments) -> Job:
    return Job(function=f"job_functions:{name}", arguments=arguments, silence_s=60)


def test_a_child_finds_the_modules_imported():
    with Nursery(["decimal", "sqlite3"]) as nursery:
        (told,) = run(job("whereabouts"), nursery=nursery)
    assert {"decimal", "sqlite3"} <= set(told["modules"])
    (fresh,) = run(job("whereabouts"))
    assert "sqlite3" not in fresh["modules"]


def test_children_compute_again_and_again():
    pytest.importorskip("torch")
    with Nursery(["torch"]) as nursery:
        for _ in range(5):
            running = run(job("matmul"), nursery=nursery)
            assert list(running) == [512.0]
            assert running.ended.kind == "done"
            assert running.start == "forked"


def test_the_allocator_of_torch_is_told_apart():
    pytest.importorskip("torch")
    with Nursery(["torch"]) as nursery:
        limited = Job(function="job_functions:fill_tensor", arguments={"size": 1 << 30},
                      silence_s=60, memory_bytes=256 << 20)  # fmt: skip
        running = run(limited, nursery=nursery)
        assert list(running) == ["before"]
    assert (running.ended.kind, running.ended.exception) == ("out-of-memory", "RuntimeError")


def test_children_run_side_by_side():
    with Nursery([]) as nursery, ThreadPoolExecutor(4) as pool:
        runs = pool.map(lambda n: list(run(job("count", n=n), nursery=nursery)), range(24))
        assert list(runs) == [list(range(n)) for n in range(24)]


def test_the_death_of_the_nursery_is_told():
    with Nursery([]) as nursery:
        running = run(job("hang"), nursery=nursery)
        for _ in running:
            os.kill(nursery.pid, signal.SIGKILL)
        assert running.ended.kind == "crashed"
        assert "the nursery died (signal 9)" in running.ended.detail
        assert not nursery.alive
        later = run(job("count", n=1), nursery=nursery)
        assert list(later) == []
        assert later.ended.kind == "crashed"
        assert "nursery died" in later.ended.detail


def test_a_closed_nursery_starts_nothing():
    nursery = Nursery([])
    running = run(job("hang"), nursery=nursery)
    messages = iter(running)
    next(messages)
    nursery.close()
    assert list(messages) == []
    assert running.ended.kind == "crashed"
    later = run(job("count", n=1), nursery=nursery)
    assert list(later) == []
    assert "closed" in later.ended.detail


def test_a_module_that_cannot_be_imported_is_told():
    with pytest.raises(NurseryFailed, match="ModuleNotFoundError"):
        Nursery(["no_such_module_here"])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import threading, time; threading.Thread(target=time.sleep, args=(600,),"
         " daemon=True).start()", r"started 1 thread"),
        ("import os; os._exit(4)", "exit code 4"),
        ("import sys; print('why it went', file=sys.stderr); import os; os.abort()",
         "signal 6.*why it went"),
        ("import time; time.sleep(600)", "no answer"),
    ],
)  # fmt: skip
def test_an_import_that_unfits_it_is_told(tmp_path, monkeypatch, body, words):
    (tmp_path / "odd_module.py").write_text(body)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    with pytest.raises(NurseryFailed, match=words):
        Nursery(["odd_module"], start_s=5.0 if "600)" in body else 60.0)
