"""Targets by name: what opens, what is refused and how, and plug-ins that do harm."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from crossgrade.errors import TargetAbsent, UnknownTarget
from crossgrade.targets import registry
from crossgrade.targets.registry import SHIPPED, available_targets, open_target, target_names
from crossgrade.targets.torch_table import TORCH_DEVICES


def test_listing_imports_no_torch_and_no_runtime():
    code = (
        "import sys, crossgrade.targets.registry as r; r.available_targets();"
        "print([m for m in ('torch', 'numpy', 'onnxruntime', 'openvino') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_tables_are_sorted_and_share_no_name():
    shipped, devices = [r.name for r in SHIPPED], [r.name for r in TORCH_DEVICES]
    assert shipped == sorted(shipped)
    assert devices == sorted(devices)
    assert not set(shipped) & set(devices)


@pytest.mark.parametrize("spec", ["cpu", "cpu:0"])
def test_cpu_opens_and_its_specification_opens_it_again(spec):
    target = open_target(spec)
    assert target.spec == "cpu"
    assert open_target(target.spec).spec == target.spec


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("cpi", "did you mean cpu"),
        ("onnxruntim", "did you mean onnxruntime"),
        ("h200", "`crossgrade assess MODEL --on h200` predicts"),
        ("Ascend 910B2", "--on ascend-910b2"),
        ("cpu:first", "write `cpu` or `cpu:0`"),
        ("", "there are compile, cpu"),
    ],
)
def test_unknown_names_come_with_what_to_do(spec, words):
    with pytest.raises(UnknownTarget) as caught:
        open_target(spec)
    assert words in caught.value.hint


@pytest.mark.parametrize("spec", ["mlu", "cpu:1", "meta"])
def test_known_devices_that_are_not_here_are_absent(spec):
    with pytest.raises(TargetAbsent):
        open_target(spec)


def test_an_absent_runtime_says_how_it_is_installed(monkeypatch):
    monkeypatch.setattr(registry, "_installed", lambda module: module != "openvino")
    with pytest.raises(TargetAbsent) as caught:
        open_target("openvino")
    assert "crossgrade[openvino]" in caught.value.hint
    row = next(r for r in available_targets() if r.name == "openvino")
    assert not row.installed
    assert "needs openvino" in row.reason


def _install(folder: Path, package: str, points: dict[str, str], code: str = "") -> None:
    """Lay out a package as an installer does."""
    info = folder / f"{package}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
    lines = "\n".join(f"{name} = {value}" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[crossgrade.targets]\n{lines}\n")
    (folder / f"{package}.py").write_text(code)


def test_a_broken_plugin_harms_itself_alone(tmp_path, monkeypatch):
    _install(tmp_path, "broken_target", {"brk": "broken_target:open"}, "raise OSError('no driver')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TargetAbsent, match=r"brk.*broken_target.*no driver"):
        open_target("brk")
    assert open_target("cpu").spec == "cpu"
    rows = {row.name: row for row in available_targets(look=True)}
    assert "no driver" in rows["brk"].reason
    assert rows["cpu"].devices == ("cpu",)
    assert {"brk", "cpu"} <= set(target_names())


def test_two_packages_that_claim_one_name_are_named(tmp_path, monkeypatch):
    for package in ("one_target", "two_target"):
        _install(tmp_path, package, {"mine": f"{package}:open"})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownTarget, match="one_target and two_target"):
        open_target("mine")


def test_a_shipped_name_cannot_be_taken(tmp_path, monkeypatch):
    _install(tmp_path, "greedy", {"cpu": "greedy:open"}, "raise OSError")
    monkeypatch.syspath_prepend(tmp_path)
    assert open_target("cpu").facts()["runtime"].startswith("torch ")
    rows = [row for row in available_targets() if row.name == "cpu"]
    assert any("claimed by greedy" in row.reason for row in rows)


def test_a_plugin_opens_with_what_follows_the_colon(tmp_path, monkeypatch):
    code = "def open(rest, opening): return (rest, opening.session)"
    _install(tmp_path, "small_target", {"small": "small_target:open"}, code)
    monkeypatch.syspath_prepend(tmp_path)
    assert open_target("small:a:b") == ("a:b", 0)
    assert metadata.version("small_target") == "1"
