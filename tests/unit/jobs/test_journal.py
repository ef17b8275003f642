"""A journal keeps every whole line over any cut; a lock is freed by death alone."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrade.errors import BadRecord, CannotWrite, FolderInUse
from crossgrade.jobs import lock
from crossgrade.jobs.journal import Journal
from crossgrade.jobs.lock import FolderLock

ENTRIES = st.lists(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text()
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=5,
)  # fmt: skip


def written(path: Path, entries) -> None:
    with Journal(path) as journal:
        for entry in entries:
            journal.append(entry)


@settings(deadline=None, max_examples=60)
@given(ENTRIES, st.data())
def test_a_cut_at_any_byte_keeps_all_whole_lines(tmp_path_factory, entries, data):
    path = tmp_path_factory.mktemp("j") / "journal.jsonl"
    written(path, entries)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    with Journal(path) as journal:
        assert journal.entries() == tuple(entries[:kept])
        journal.append("next")
        assert journal.entries() == (*entries[:kept], "next")
    assert path.read_bytes().count(b"\n") == kept + 1


@settings(deadline=None, max_examples=60)
@given(ENTRIES.filter(bool), st.data())
def test_a_changed_byte_is_refused(tmp_path_factory, entries, data):
    path = tmp_path_factory.mktemp("j") / "journal.jsonl"
    written(path, entries)
    whole = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(whole) - 2))
    whole[place] ^= data.draw(st.integers(1, 127))
    path.write_bytes(whole)
    with pytest.raises(BadRecord, match="line "):
        Journal(path)


def test_entries_are_read_back_as_json(tmp_path):
    written(tmp_path / "deep" / "j.jsonl", [{"a": (1, 2), "b": math.nan}])
    with Journal(tmp_path / "deep" / "j.jsonl") as journal:
        assert journal.entries() == ({"a": [1, 2], "b": "NaN"},)


def test_each_line_is_json_by_itself(tmp_path):
    written(tmp_path / "j.jsonl", ["é\n", {"x": 1}])
    lines = (tmp_path / "j.jsonl").read_text("ascii").splitlines()
    assert [json.loads(line)["entry"] for line in lines] == ["é\n", {"x": 1}]


def test_an_entry_that_is_no_json_leaves_no_trace(tmp_path):
    with Journal(tmp_path / "j.jsonl") as journal:
        journal.append(1)
        with pytest.raises(TypeError):
            journal.append(object())
        journal.append(2)
        assert journal.entries() == (1, 2)


@pytest.mark.skipif(sys.platform != "linux", reason="file sizes are limited by setrlimit")
def test_a_full_disk_leaves_whole_lines(tmp_path):
    body = """
import resource, signal, sys
from pathlib import Path
from crossgrade.errors import CannotWrite
from crossgrade.jobs.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
journal = Journal(Path(sys.argv[1]))
journal.append("small")
try:
    journal.append("x" * 5000)
except CannotWrite as error:
    print(error.code)
journal.append("after")
"""
    path = tmp_path / "j.jsonl"
    said = subprocess.run([sys.executable, "-c", body, str(path)], check=True, text=True,
                          capture_output=True).stdout  # fmt: skip
    assert said == "CG-E208\n"
    with Journal(path) as journal:
        assert journal.entries() == ("small", "after")


def test_a_folder_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite):
        Journal(tmp_path / "file" / "j.jsonl")
    with pytest.raises(CannotWrite):
        FolderLock(tmp_path / "file" / "folder")


@pytest.fixture(params=["kernel", "pid-file"])
def way(request, monkeypatch):
    if request.param == "pid-file":
        monkeypatch.setattr(FolderLock, "_flocked", lambda self: False)
    elif sys.platform == "win32":
        pytest.skip("no flock here")
    return request.param


HOLD = """
import sys
from pathlib import Path
from crossgrade.jobs.lock import FolderLock
if sys.argv[2] == "pid-file":
    FolderLock._flocked = lambda self: False
held = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_is_held_by_one_and_freed_by_a_kill(tmp_path, way):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path), way], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:  # fmt: skip
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(FolderInUse, match=f"process {holder.pid} is writing") as refused:
            FolderLock(tmp_path)
        named = [w for w in refused.value.hint.split() if w.startswith(".lock")]
        assert named == ([".lock.pid"] if way == "pid-file" else [])
        assert all((tmp_path / name).is_file() for name in named)
        holder.kill()
        holder.wait()
        with FolderLock(tmp_path):
            pass


def test_a_lock_that_was_given_back_can_be_taken(tmp_path, way):
    with FolderLock(tmp_path), pytest.raises(FolderInUse, match=str(os.getpid())):
        FolderLock(tmp_path)
    with FolderLock(tmp_path):
        pass


def test_the_process_of_another_host_may_live(tmp_path, monkeypatch):
    monkeypatch.setattr(FolderLock, "_flocked", lambda self: False)
    (tmp_path / ".lock.pid").write_text("1 elsewhere.example")
    with pytest.raises(FolderInUse, match=r"on elsewhere\.example"):
        FolderLock(tmp_path)


def test_a_process_that_was_never_there_does_not_live():
    assert lock._may_live(f"{os.getpid()} ")
    assert not lock._may_live("4194999 ")
