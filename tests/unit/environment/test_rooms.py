"""Which parts work: needs, ages, verdict. And the shipped table against the program."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import pytest

import crossgrade
from crossgrade import api
from crossgrade.environment.folders import folder_state
from crossgrade.environment.known import known
from crossgrade.environment.rooms import room_states, verdict_of, with_ages, with_releases
from crossgrade.errors import BadOption
from crossgrade.values.environment import KnownRoom, Need, PackageState

SOURCE = Path(crossgrade.__file__).parent
ROOT = Path(__file__).parents[3]


def package(name: str, status: str = "installed", version: str = "1.0") -> PackageState:
    return PackageState(name=name, status=status, version=version, purpose="", facts={},
                        error="Boom: x" if status == "broken" else "", hint="",
                        import_s=None)  # fmt: skip


def room(name: str, *needs: tuple[str, str], core: bool = False) -> KnownRoom:
    rows = tuple(Need(package=p, least=v, source="pyproject.toml") for p, v in needs)
    return KnownRoom(name=name, does="", core=core, needs=rows)


def judged(rooms, packages):
    packages = with_ages(packages, rooms)
    states = room_states(rooms, packages)
    return packages, states, verdict_of(rooms, states)


CAPTURE = (room("capture", ("torch", "2.11")), room("chips", ("numpy", "1.26"), core=True))
NUMPY = package("numpy", version="2.4.6")


@pytest.mark.parametrize("version", ["2.11", "2.11.0", "2.13.0+cpu", "3.0", "2.11.0a0+git123"])
def test_a_new_enough_version_works(version):
    _, states, verdict = judged(CAPTURE, [package("torch", version=version), NUMPY])
    assert [s.status for s in states] == ["works", "works"]
    assert verdict == "works"


@pytest.mark.parametrize("version", ["2.6.0", "2.10.1", "1.13", "", "unknown"])
def test_an_old_version_is_no_fault_and_the_room_says_why(version):
    packages, states, verdict = judged(CAPTURE, [package("torch", version=version), NUMPY])
    assert packages[0].status == "too-old"
    assert packages[0].hint == "2.11 or newer is needed (pyproject.toml)"
    assert states[0].status == "needs"
    assert states[0].why.startswith("needs torch 2.11 or newer; ")
    assert verdict == "works"


def test_an_absent_optional_package_is_no_fault():
    _, states, verdict = judged(CAPTURE, [package("torch", "absent", ""), NUMPY])
    assert states[0].why == "needs torch 2.11 or newer; not installed"
    assert verdict == "works"


def test_a_broken_package_that_a_room_needs_is_a_fault():
    _, states, verdict = judged(CAPTURE, [package("torch", "broken"), NUMPY])
    assert (states[0].status, states[0].why) == ("broken", "torch is broken: Boom: x")
    assert verdict == "broken"


def test_a_broken_package_that_no_room_needs_is_no_fault():
    packages = [package("torch", version="2.13"), NUMPY, package("torch_npu", "broken")]
    assert judged(CAPTURE, packages)[2] == "works"


@pytest.mark.parametrize("status", ["absent", "broken"])
def test_a_core_that_lacks_something_is_a_fault(status):
    packages = [package("torch", version="2.13"), package("numpy", status)]
    assert judged(CAPTURE, packages)[2] == "broken"


@pytest.mark.parametrize(
    ("version", "line"),
    [("2.13.0+cpu", "pip install 'x==2.13.*'"), ("3", "pip install 'x==3.0.*'"),
     ("2.0.0", "pip install 'x==2.0.*'"), ("", "pip install 'x==RELEASE-OF-TORCH.*'")],
)  # fmt: skip
def test_an_install_line_names_the_release_that_is_here(version, line):
    other = dataclasses.replace(package("x", "absent", ""), hint="pip install 'x=={torch}.*'")
    _, filled = with_releases([package("torch", version=version), other])
    assert filled.hint == line


# the shipped table -----------------------------------------------------------------------------
def test_every_room_of_the_program_is_in_the_table():
    folders = {p.parent.name for p in SOURCE.glob("*/__init__.py")} - {"values", "api"}
    assert folders == {r.name for r in known().rooms}


def test_every_need_is_a_known_package():
    names = {p.name for p in known().packages}
    assert {n.package for r in known().rooms for n in r.needs} <= names


def test_least_versions_are_those_of_the_project_file():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for need in (n for r in known().rooms for n in r.needs):
        extra = need.source.partition("extra ")[2]
        lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
        assert need.least == dict(line.split(">=") for line in lines)[need.package], need


def test_every_package_has_a_purpose_and_an_install_line():
    assert all(p.purpose and p.install for p in known().packages)
    assert len({p.name for p in known().packages}) == len(known().packages)


# folders and the whole -------------------------------------------------------------------------
def test_a_folder_that_is_not_there_is_judged_by_the_one_above(tmp_path):
    state = folder_state(tmp_path / "a" / "b", "records")
    assert (state.exists, state.writable) == (False, True)
    assert state.free_bytes > 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_is_not_writable(tmp_path):
    (tmp_path / "file").write_text("x")
    assert not folder_state(tmp_path / "file" / "records", "records").writable


def test_a_folder_of_the_kernel_is_not_writable():
    assert not folder_state(Path("/proc/crossgrade"), "records").writable


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_a_limit_that_makes_no_sense_is_refused(limit):
    with pytest.raises(BadOption):
        api.doctor(timeout_s=limit)
