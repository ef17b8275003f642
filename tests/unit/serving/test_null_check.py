"""The self-check of the client, and that it leaves no process behind."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crossgrade.errors import MissingExtra
from crossgrade.serving import null_check
from crossgrade.serving.null_check import null_rate, null_server
from crossgrade.serving.sending import body_of
from crossgrade.values.serving import Endpoint


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_it_answers_as_many_tokens_as_are_asked_for(api):
    endpoint = Endpoint(address="e", model="m")
    tokens = [1, 7, 300]
    bodies = [body_of(endpoint, api, "word " * 2000, count) for count in tokens]
    rate = asyncio.run(
        null_rate(bodies, tokens, api=api, clock=time.monotonic_ns, lasts_s=0.1)
    )  # None if any answer had another number of events
    assert rate is not None
    assert rate > 0


def test_a_check_that_fails_gives_nothing(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    bodies = [body_of(Endpoint(address="e", model="m"), "chat", "word", 1)]
    assert asyncio.run(null_rate(bodies, [1], api="chat", clock=time.monotonic_ns)) is None


def test_the_server_ends_with_its_block(monkeypatch):
    started = []
    real = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *a, **k: started.append(real(*a, **k)) or started[-1]
    )
    with null_server():
        assert started[0].poll() is None
    assert started[0].poll() is not None


def test_the_server_ends_with_its_parent():
    script = str(Path(null_check.__file__).with_name("null_server.py"))
    code = (
        "import os, socket, subprocess, sys, time\n"
        "s = socket.create_server(('127.0.0.1', 0))\n"
        "os.set_inheritable(s.fileno(), True)\n"
        f"p = subprocess.Popen([sys.executable, '-I', '-S', {script!r}, str(s.fileno())],\n"
        "    stdin=subprocess.PIPE, pass_fds=[s.fileno()], stdout=subprocess.DEVNULL)\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 20
    while _runs(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_without_aiohttp_it_says_what_to_install():
    code = "import sys; sys.modules['aiohttp'] = None; import crossgrade.serving.client"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False
    )
    assert MissingExtra.code in done.stderr
    assert "pip install 'crossgrade[serve]'" in done.stderr
