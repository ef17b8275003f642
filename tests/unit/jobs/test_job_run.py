"""A job ends in one of five ways, whatever its process does; both starts behave alike."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from crossgrade.jobs.forking import SUPPORTED, Nursery, NurseryFailed
from crossgrade.jobs.memory import SUPPORTED as MEMORY_SUPPORTED
from crossgrade.jobs.run import Job, run

forks = pytest.mark.skipif(not SUPPORTED, reason="jobs are forked on Linux only")
MIB = 1 << 20


@pytest.fixture(scope="module")
def nursery():
    if not SUPPORTED:
        pytest.skip("jobs are forked on Linux only")
    with Nursery(["decimal"]) as made:
        yield made


@pytest.fixture(params=["fresh", "forked"])
def parent(request):
    return request.getfixturevalue("nursery") if request.param == "forked" else None


def job(name: str, *, silence_s: float = 60.0, memory_bytes: int | None = None, **arguments) -> Job:
    return Job(function=f"job_functions:{name}", arguments=arguments, silence_s=silence_s,
               memory_bytes=memory_bytes)  # fmt: skip


def outcome(parent, wanted: Job):
    running = run(wanted, nursery=parent)
    messages = list(running)
    return messages, running.ended


def gone(pid: int) -> bool:
    """Return whether a process ends within a minute; a zombie has ended."""
    for _ in range(1200):
        try:
            os.kill(pid, 0)
            if SUPPORTED:
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                if state in "ZX":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_messages_come_in_order_and_the_job_is_done(parent):
    messages, ended = outcome(parent, job("count", n=300))
    assert messages == list(range(300))
    assert (ended.kind, ended.detail, ended.exception) == ("done", "", None)


def test_a_job_without_messages_is_done(parent):
    assert outcome(parent, job("count", n=0))[1].kind == "done"


def test_the_start_is_told(parent):
    with run(job("count", n=1), nursery=parent) as running:
        assert running.start == ("forked" if parent else "fresh")


def test_the_child_leads_its_own_session(parent):
    (told,), _ = outcome(parent, job("whereabouts"))
    assert told["pid"] == told["group"] == told["session"]


def test_the_script_of_the_user_is_not_imported(parent):
    (told,), _ = outcome(parent, job("whereabouts"))
    assert told["main"] is None
    assert "pytest" not in told["modules"]


def test_noise_does_not_reach_the_messages(parent):
    messages, ended = outcome(parent, job("noise", n=200_000))
    assert messages == [""]
    assert ended.kind == "done"
    assert ended.stderr.endswith("the last line\n")
    assert len(ended.stderr) <= 4096


def test_a_large_message_arrives_whole(parent):
    ((message,), _) = outcome(parent, job("big", n=10_000_000))
    assert message == {"text": "x" * 10_000_000}


def test_large_arguments_arrive_whole(parent):
    given = {"a": "y" * 3_000_000, "b": [1, None, True, 0.5]}
    assert outcome(parent, job("echo", **given))[0] == [given]


def test_numbers_that_json_lacks_arrive_as_strings(parent):
    ((message,), _) = outcome(parent, job("strange_numbers"))
    assert message == ["NaN", "Infinity", "-Infinity", 0.1]


def test_a_lone_surrogate_arrives(parent):
    assert outcome(parent, job("lone_surrogate"))[0] == ["\ud800"]


def open_descriptors():
    return len(os.listdir("/proc/self/fd")) if MEMORY_SUPPORTED else 0


@pytest.mark.parametrize(
    ("name", "exception", "words"),
    [
        ("no_json", "TypeError", "no JSON"),
        ("endless_message", "TypeError", "no JSON"),
        ("recursion", "RecursionError", "recursion"),
        ("absent", "AttributeError", "absent"),
        ("no_generator", "TypeError", "generator"),
        ("not_callable", "TypeError", "no function"),
    ],
)
def test_a_function_that_is_wrong_has_failed(parent, name, exception, words):
    _, ended = outcome(parent, job(name))
    assert (ended.kind, ended.exception) == ("failed", exception)
    assert words in ended.detail


@pytest.mark.parametrize(
    ("function", "exception"),
    [
        ("no_such_module:f", "ModuleNotFoundError"),
        ("__main__:f", "ValueError"),
        ("job_functions", "AttributeError"),
        ("", "ValueError"),
    ],
)
def test_a_function_that_is_not_there_has_failed(parent, function, exception):
    _, ended = outcome(parent, Job(function=function, silence_s=60))
    assert (ended.kind, ended.exception) == ("failed", exception)


def test_wrong_arguments_have_failed(parent):
    assert outcome(parent, job("count", m=1))[1].exception == "TypeError"


@pytest.mark.parametrize(
    ("what", "kind", "exception", "words"),
    [
        ("value", "failed", "ValueError", "ValueError: a b (job_functions.py:"),
        ("pickle", "failed", "job_functions.CannotPickle", "its own words"),
        ("mute", "failed", "job_functions.Mute", "cannot be had"),
        ("exit", "failed", "SystemExit", "7"),
        ("interrupt", "failed", "KeyboardInterrupt", ""),
        ("tls", "failed", "ImportError", "static TLS"),
        ("device", "out-of-memory", "job_functions.OutOfMemoryError", "full"),
        ("torch", "out-of-memory", "RuntimeError", "can't allocate"),
    ],
)
def test_an_exception_is_told_by_type_and_text(parent, what, kind, exception, words):
    messages, ended = outcome(parent, job("raises", what=what))
    assert messages == ["before"]
    assert (ended.kind, ended.exception) == (kind, exception)
    assert words in ended.detail


def test_the_cause_of_an_exception_counts(parent):
    assert outcome(parent, job("wrapped"))[1].kind == "out-of-memory"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (job("segfault"), "SIGSEGV"),
        (job("leave", code=3), "exit code 3"),
        (job("leave", code=0), "exit code 0"),
        (job("kill_self", number=int(signal.SIGTERM)), "SIGTERM"),
        (job("kill_self", number=int(signal.SIGKILL)), "cannot be known"),
        (job("aborts", words="terminate called: bad shape"), "bad shape"),
    ],
)
def test_a_process_that_dies_has_crashed(parent, wanted, words):
    messages, ended = outcome(parent, wanted)
    assert len(messages) == 1
    assert (ended.kind, ended.exception) == ("crashed", None)
    assert words in ended.detail


def test_a_segfault_leaves_the_place_in_what_was_printed(parent):
    assert "in segfault" in outcome(parent, job("segfault"))[1].stderr


def test_an_abort_of_an_allocator_is_out_of_memory(parent):
    words = "terminate called after throwing an instance of 'std::bad_alloc'"
    assert outcome(parent, job("aborts", words=words))[1].kind == "out-of-memory"


def test_a_kill_from_outside_has_crashed(parent):
    running = run(job("hang"), nursery=parent)
    for pid in running:
        assert pid == running.pid
        os.kill(pid, signal.SIGKILL)
    assert running.ended.kind == "crashed"
    assert "SIGKILL" in running.ended.detail


def test_a_silent_job_is_killed_with_its_group(parent):
    messages, ended = outcome(parent, job("hang_with_a_child", silence_s=3.0))
    assert (ended.kind, ended.exception) == ("timed-out", None)
    assert "3 s" in ended.detail
    assert gone(messages[0])


def test_what_a_job_leaves_behind_in_its_group_is_killed(parent):
    messages, ended = outcome(parent, job("leaves_a_child"))
    assert ended.kind == "done"
    assert gone(messages[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_that_left_the_group_does_not_hold_the_job_up(parent):
    messages, ended = outcome(parent, job("leaves_a_fork"))
    try:
        assert ended.kind == "done"
    finally:
        os.kill(messages[0], signal.SIGKILL)


def test_a_closed_channel_is_no_hang(parent):
    _, ended = outcome(parent, job("closes_its_channel"))
    assert ended.kind == "crashed"


@pytest.mark.skipif(not MEMORY_SUPPORTED, reason="memory is limited on Linux only")
def test_beyond_the_limit_is_out_of_memory(parent):
    messages, ended = outcome(parent, job("fill", size=512 * MIB, memory_bytes=128 * MIB))
    assert messages == ["before"]
    assert (ended.kind, ended.exception) == ("out-of-memory", "MemoryError")


def test_below_the_limit_it_is_done(parent):
    wanted = job("fill", size=64 * MIB, memory_bytes=512 * MIB)
    running = run(wanted, nursery=parent)
    assert list(running) == ["before", 64 * MIB]
    assert running.ended.kind == "done"
    assert running.memory_limited == MEMORY_SUPPORTED


def test_an_iteration_that_is_left_kills_the_child(parent):
    running = run(job("hang"), nursery=parent)
    for _ in running:
        break
    gc.collect()
    assert gone(running.pid)
    with pytest.raises(RuntimeError, match="not known"):
        _ = running.ended
    assert list(running) == []


def test_close_and_forgetting_kill_the_child(parent):
    with run(job("hang"), nursery=parent) as running:
        pass
    assert gone(running.pid)
    forgotten = run(job("hang"), nursery=parent)
    pid = forgotten.pid
    del forgotten
    gc.collect()
    assert gone(pid)


def test_a_close_while_messages_wait_unread(parent):
    with run(job("count", n=100_000), nursery=parent) as running:
        assert next(iter(running)) == 0
    assert gone(running.pid)


def test_an_exception_of_the_reader_kills_the_child_and_passes(parent):
    running = run(job("hang"), nursery=parent)

    def read():
        for _ in running:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read()
    gc.collect()
    assert gone(running.pid)


def test_no_descriptor_is_left_open(parent):
    outcome(parent, job("count", n=1))
    before = open_descriptors()
    for name in ("hang", "segfault", "absent", "count"):
        outcome(parent, job(name, silence_s=2.0, **({"n": 1} if name == "count" else {})))
    # A thread closes the last ones just after the end has been told.
    deadline = time.monotonic() + 10
    while open_descriptors() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert open_descriptors() <= before


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
def test_a_job_that_is_asked_to_end_tidies_up(tmp_path):
    running = run(job("tidies_up", path=str(tmp_path / "file")))
    messages = iter(running)
    assert next(messages) == "ready"
    assert not running.gone_within(0.0)
    running.end(30.0)
    assert running.gone_within(0.0)
    assert (tmp_path / "file").read_text() == "tidy"
    running.end(30.0)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
def test_a_job_that_does_not_listen_is_killed():
    running = run(job("does_not_listen"))
    messages = iter(running)
    assert next(messages) == "ready"
    running.end(0.1)
    assert gone(running.pid)


def test_a_forked_job_ends_at_once(nursery):
    """Nobody can ask it: its number is known to the nursery alone."""
    running = run(job("does_not_listen"), nursery=nursery)
    messages = iter(running)
    assert next(messages) == "ready"
    running.end(30.0)
    assert gone(running.pid)


def test_arguments_that_are_no_json_are_refused_before_the_start():
    with pytest.raises(TypeError):
        run(job("echo", a=object()))


def script(body: str) -> subprocess.Popen:
    """Return a Python process of its own that runs a script without a main guard."""
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(body)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=os.environ | {"PYTHONPATH": path})  # fmt: skip


START = """
    from crossgrade.jobs.forking import Nursery
    from crossgrade.jobs.run import Job, run
    nursery = Nursery([]) if {forked} else None
    running = run(Job(function="job_functions:{name}", silence_s=600), nursery=nursery)
"""


@pytest.mark.parametrize("forked", [False, pytest.param(True, marks=forks)])
@pytest.mark.parametrize(
    "name",
    ["hang", pytest.param("hang_in_c", marks=pytest.mark.skipif(
        not SUPPORTED, reason="only the kernel of Linux ends it"))],
)  # fmt: skip
def test_a_parent_that_is_killed_takes_the_child_along(forked, name):
    body = START.format(forked=forked, name=name)
    body += "    for pid in running: print(pid, flush=True)"
    with script(body) as parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    assert gone(pid)


@pytest.mark.parametrize("forked", [False, pytest.param(True, marks=forks)])
def test_an_interrupt_kills_the_child_and_passes(forked):
    body = (
        START.format(forked=forked, name="hang")
        + """
    try:
        for pid in running: print(pid, flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        import time; time.sleep(600)
    """
    )
    with script(body) as parent:
        pid = int(parent.stdout.readline())
        # Only the parent gets the signal: a child in its own session has no part in it.
        parent.send_signal(signal.SIGINT)
        said = parent.stdout.readline()
        ended = gone(pid)
        parent.kill()
    assert said == "interrupted\n"
    assert ended


@pytest.mark.parametrize("forked", [False, pytest.param(True, marks=forks)])
def test_a_parent_that_ends_without_reading_leaves_no_child(forked):
    body = START.format(forked=forked, name="hang") + "    print(running.pid, flush=True)"
    with script(body) as parent:
        said, errors = parent.communicate(timeout=120)
    assert gone(int(said))
    assert errors == ""


@pytest.mark.skipif(SUPPORTED, reason="there are nurseries here")
def test_a_nursery_is_refused_where_there_is_none():
    with pytest.raises(NurseryFailed, match="not forked"):
        Nursery([])
