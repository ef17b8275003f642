"""What a measurement depends on: facts out of a made-up root and environment, and nobody's name."""

from __future__ import annotations

import getpass
import json
import platform
import re
import socket
from pathlib import Path

import pytest

from crossgrade.api.calibrating import SYSTEM
from crossgrade.environment.fingerprint import DRIVERS, SETTINGS, code_digest, fingerprint

CPUINFO = """\
processor\t: 0
model name\t: Made-up 9000 @ 3.00GHz
flags\t\t: fpu hypervisor avx512f

processor\t: 1
model name\t: Made-up 9000 @ 3.00GHz
"""


@pytest.fixture
def root(tmp_path) -> Path:
    cpu = tmp_path / "sys/devices/system/cpu"
    (cpu / "cpu0/cpufreq").mkdir(parents=True)
    (cpu / "intel_pstate").mkdir()
    (cpu / "cpu0/cpufreq/scaling_governor").write_text("powersave\n")
    (cpu / "intel_pstate/no_turbo").write_text("1\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(CPUINFO)
    (tmp_path / ".dockerenv").touch()
    return tmp_path


def test_the_machine_is_read_from_its_root(root):
    facts = fingerprint({}, root)
    assert facts["cpu"] == "Made-up 9000 @ 3.00GHz"
    assert facts["governor"] == "powersave"
    assert facts["turbo_off"] == "1"
    assert facts["hypervisor"] == "yes"
    assert facts["container"] == "yes"
    assert int(facts["cpus"]) >= 1
    assert facts["python"].endswith(platform.python_version())


def test_kernel_drivers_are_there_by_their_first_line(root):
    for path, text in (
        ("sys/module/nvidia/version", "580.82.07\n"),
        ("usr/local/Ascend/driver/version.info", "Version=25.3.rc1\nbuild=1\n"),
    ):
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text(text)
    facts = fingerprint({}, root)
    assert facts["nvidia_driver"] == "580.82.07"
    assert facts["ascend_driver"] == "Version=25.3.rc1"
    assert "amdgpu_driver" not in facts
    assert set(DRIVERS) <= set(SYSTEM)


def test_what_is_not_known_is_left_out(tmp_path):
    facts = fingerprint({}, tmp_path)
    assert not {"governor", "turbo_off", "hypervisor", "container"} & set(facts)
    assert all(facts.values())


def test_versions_of_what_is_installed_are_there(root):
    facts = fingerprint({}, root)
    assert facts["torch"]
    assert facts["crossgrade"]
    assert "torch_npu" not in facts
    assert "torch-npu" not in facts


def test_settings_that_change_speed_are_shown_and_no_others(root):
    env = {"OMP_NUM_THREADS": "4", "CUDA_VISIBLE_DEVICES": "", "SECRET_TOKEN": "abc", "HOME": "/x"}
    facts = fingerprint(env, root)
    shown = {name: value for name, value in facts.items() if name.startswith("$")}
    assert shown == {"$OMP_NUM_THREADS": "4"}
    every = fingerprint(dict.fromkeys(SETTINGS, "1"), root)
    assert [name[1:] for name in every if name.startswith("$")] == list(SETTINGS)


def test_it_names_no_user_no_host_and_no_path():
    text = json.dumps(fingerprint())
    words = set(re.split(r"[^\w.-]+", text))
    assert socket.gethostname() not in words
    assert str(Path.home()) not in text
    user = getpass.getuser()
    assert user not in words


def test_the_digest_is_that_of_the_code_that_decides_a_number():
    digest = code_digest()
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert fingerprint()["code_sha256"] == digest


def test_the_same_machine_gives_the_same_facts_in_the_same_order(root):
    assert list(fingerprint({}, root).items()) == list(fingerprint({}, root).items())
