"""Packages that raise, crash, hang or end the process are results. Real processes, no mocks."""

from __future__ import annotations

import os
import textwrap
import time

import pytest

from crossgrade.environment.packages import look_at
from crossgrade.values.environment import KnownPackage


@pytest.fixture
def fake(tmp_path):
    """Return a function that writes a package, and one that looks at it."""
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def write(name: str, code: str, version: str | None = None) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(textwrap.dedent(code))
        if version:
            info = tmp_path / f"{name}-{version}.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            )

    def look(name: str, *, timeout_s: float = 30, environ=None, **fields):
        fields = {"distribution": name, "purpose": "a test", "install": f"get {name}"} | fields
        package = KnownPackage(name=name, **fields)
        [state] = look_at((package,), timeout_s=timeout_s, env=env | (environ or {}))
        return state

    look.write = write
    return look


def test_an_absent_package_comes_with_its_install_line(fake):
    state = fake("cg_no_such_package")
    assert (state.status, state.hint, state.import_s) == ("absent", "get cg_no_such_package", None)


def test_an_installed_package_tells_its_version_and_the_time(fake):
    fake.write("cg_fine", "print('noise on stdout')", version="1.2.3")
    state = fake("cg_fine")
    assert (state.status, state.version, state.error, state.hint) == ("installed", "1.2.3", "", "")
    assert state.import_s > 0


def test_a_package_without_a_distribution_tells_its_own_version(fake):
    fake.write("cg_plain", "__version__ = '0.9'")
    assert fake("cg_plain").version == "0.9"


def test_one_that_raises_is_broken_with_class_and_message(fake):
    fake.write("cg_raises", "raise OSError('libfoo.so.1: cannot open\\nshared object')", "2.0")
    state = fake("cg_raises", hint="source set_env.sh")
    assert state.status == "broken"
    assert state.error == "OSError: libfoo.so.1: cannot open shared object"
    assert state.version == "2.0"
    assert state.hint == "source set_env.sh"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "died with signal 11 (SIGSEGV)",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "died with signal 9 (SIGKILL)"),
        ("import ctypes; ctypes.string_at(0)", "died with signal 11 (SIGSEGV)"),
        ("import os; os._exit(7)", "ended with exit code 7"),
        ("import os; os._exit(0)", "ended without an answer"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("def f(: pass", "SyntaxError"),
    ],
)
def test_one_that_ends_the_process_is_broken(fake, code, error):
    fake.write("cg_ends", code)
    state = fake("cg_ends")
    assert state.status == "broken"
    assert error in state.error
    assert state.hint == "install it again: get cg_ends"


def test_one_that_hangs_is_broken_after_the_limit_and_leaves_no_process(fake, tmp_path):
    fake.write(
        "cg_hangs",
        f"""
        import pathlib, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(child.pid))
        time.sleep(600)
        """,
    )
    start = time.monotonic()
    state = fake("cg_hangs", timeout_s=1.5)
    assert time.monotonic() - start < 10
    assert state.status == "broken"
    assert state.error == "the import had no end within 1.5 s"
    pid = int((tmp_path / "pid").read_text())
    for _ in range(50):
        if not _alive(pid):
            break
        time.sleep(0.1)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_facts_are_read_and_a_failing_one_is_unknown(fake):
    fake.write(
        "cg_facts",
        """
        class version: cuda = None; hip = "7.1"
        class npu:
            @staticmethod
            def device_count(): return 8
        def names(): return ["a", "b"]
        def fails(): raise RuntimeError("driver too old")
        """,
    )
    facts = {"cuda": "version.cuda", "rocm": "version.hip", "devices": "npu.device_count()",
             "names": "names()", "bad": "fails()", "gone": "no.such.thing"}  # fmt: skip
    state = fake("cg_facts", facts=facts)
    assert state.status == "installed"
    assert state.facts == {
        "cuda": "no", "rocm": "7.1", "devices": "8", "names": "a, b",
        "bad": "unknown (RuntimeError: driver too old)",
        "gone": "unknown (AttributeError: module 'cg_facts' has no attribute 'no')",
    }  # fmt: skip


def test_a_crash_while_asking_for_devices_is_not_a_broken_import(fake):
    fake.write("cg_driver", "import os\nbuild = 'x'\ndef devices(): os.abort()")
    state = fake("cg_driver", facts={"build": "build", "devices": "devices()"})
    assert state.status == "installed"
    assert state.facts["build"] == "x"
    assert state.facts["asking for devices"] == "died with signal 6 (SIGABRT)"


def test_a_second_try_tells_whose_fault_it_is(fake):
    fake.write(
        "cg_torch",
        """
        import os
        if os.environ.get("AUTOLOAD", "1") == "1":
            raise RuntimeError("Failed to load the backend extension: cg_npu.")
        """,
    )
    asked = {"retry": {"AUTOLOAD": "0"}, "retry_hint": "the extension is broken"}
    state = fake("cg_torch", **asked)
    assert (state.status, state.hint) == ("broken", "the extension is broken")
    assert "cg_npu" in state.error
    assert fake("cg_torch", environ={"AUTOLOAD": "0"}, **asked).status == "installed"


def test_a_folder_in_the_working_folder_is_no_package(fake, tmp_path, monkeypatch):
    (tmp_path / "work" / "cg_shadow").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    assert fake("cg_shadow").status == "absent"
