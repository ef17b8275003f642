"""Sensors that are files: RAPL and hwmon, in a made-up `/sys`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crossgrade.targets.energy.finding import device_meter
from crossgrade.targets.energy.meter import EnergyDevice, NoMeter, Place

CPU = EnergyDevice(kind="cpu")
RANGE_UJ = 262_143_328_850


@pytest.fixture
def place(tmp_path):
    return Place(root=tmp_path, env={"PATH": ""})


def zone(root: Path, folder: str, name: str, energy_uj: int) -> Path:
    path = root / "sys/class/powercap" / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    return path / "energy_uj"


def hwmon(parent: Path, folder: str, driver: str, **files: object) -> Path:
    path = parent / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{driver}\n")
    for name, value in files.items():
        (path / name).write_text(f"{value}\n")
    return path


# RAPL -----------------------------------------------------------------------------------------
def test_packages_are_added_and_nothing_is_counted_twice(place):
    first = zone(place.root, "intel-rapl:0", "package-0", 1_000_000)
    second = zone(place.root, "intel-rapl:1", "package-1", 5_000_000)
    others = [
        zone(place.root, "intel-rapl:2", "psys", 9_000_000),
        zone(place.root, "intel-rapl:0:0", "core", 400_000),
        zone(place.root, "intel-rapl:0:1", "dram", 300_000),
        zone(place.root, "intel-rapl-mmio:0", "package-0", 1_000_000),
    ]
    meter = device_meter(CPU, place)
    assert (meter.sensor, meter.kind, meter.scope) == (
        "RAPL package-0 + package-1", "counter", "package",
    )  # fmt: skip
    before = meter.read()
    first.write_text("3500000\n")
    second.write_text("6000000\n")
    for other in others:
        other.write_text("77000000\n")
    assert meter.read() - before == pytest.approx(2.5 + 1.0)


def test_a_counter_that_is_full_starts_again(place):
    file = zone(place.root, "intel-rapl:0", "package-0", RANGE_UJ - 2_000_000)
    meter = device_meter(CPU, place)
    before = meter.read()
    values = []
    for energy_uj in (RANGE_UJ - 1_000_000, 500_000, 4_500_000):
        file.write_text(f"{energy_uj}\n")
        values.append(meter.read() - before)
    assert values == pytest.approx([1.0, 2.5, 6.5])


@pytest.fixture
def not_root(monkeypatch):
    """Refuse files without a right to read: the tests may run as root, who may read all."""
    right = os.open

    def opened(path, *args, **kwargs):
        if not os.stat(path).st_mode & 0o444:
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return right(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", opened)


@pytest.mark.usefixtures("not_root")
def test_a_file_of_root_is_told_with_what_to_do(place):
    file = zone(place.root, "intel-rapl:0", "package-0", 1)
    file.chmod(0)
    found = device_meter(CPU, place)
    assert isinstance(found, NoMeter)
    assert found.reason == "not-permitted"
    assert f"sudo chmod a+r {file}" in found.detail


def test_a_machine_without_counters_says_so(place):
    found = device_meter(CPU, place)
    assert isinstance(found, NoMeter)
    assert found.reason == "no-sensor"
    assert "/sys/class/powercap" in found.detail


def test_a_file_that_holds_no_number_is_an_error(place):
    zone(place.root, "intel-rapl:0", "package-0", 1).write_text("unknown\n")
    found = device_meter(CPU, place)
    assert isinstance(found, NoMeter)
    assert (found.reason, "`unknown`, no number" in found.detail) == ("error", True)


# hwmon ----------------------------------------------------------------------------------------
XPU = EnergyDevice(kind="xpu", index=1, pci="0000:4d:00.0")


def devices(place: Place, pci: str) -> Path:
    return place.root / "sys/bus/pci/devices" / pci / "hwmon"


def classes(place: Place) -> Path:
    return place.root / "sys/class/hwmon"


def test_a_device_is_found_by_its_pci_address(place):
    hwmon(devices(place, "0000:03:00.0"), "hwmon3", "xe", energy1_input=1)
    right = hwmon(devices(place, XPU.pci), "hwmon4", "xe", energy1_input=7_000_000,
                  energy1_label="card", power1_input=9)  # fmt: skip
    meter = device_meter(XPU, place)
    assert (meter.sensor, meter.kind, meter.scope) == (
        "hwmon xe energy1_input (card)", "counter", "board",
    )  # fmt: skip
    assert meter.read() == pytest.approx(7.0)
    (right / "energy1_input").write_text("9500000\n")
    assert meter.read() == pytest.approx(9.5)


@pytest.mark.parametrize(
    ("files", "kind", "value"),
    [
        ({"power1_average": 35_000_000, "power1_input": 1}, "averaged", 35.0),
        ({"power1_input": 141_000_000}, "instant", 141.0),
    ],
)
def test_power_is_taken_where_there_is_no_counter(place, files, kind, value):
    hwmon(classes(place), "hwmon0", "k10temp", temp1_input=40000)
    hwmon(classes(place), "hwmon1", "amdgpu", **files)
    meter = device_meter(EnergyDevice(kind="cuda"), place)
    assert (meter.kind, meter.scope, meter.read()) == (kind, "package", pytest.approx(value))


def test_of_two_devices_without_an_address_none_is_taken(place):
    for index in (1, 2):
        hwmon(classes(place), f"hwmon{index}", "amdgpu", power1_average=35_000_000)
    found = device_meter(EnergyDevice(kind="cuda"), place)
    assert isinstance(found, NoMeter)
    assert "2 hwmon of amdgpu, and no PCI address" in found.detail


def test_the_second_device_is_not_the_only_one_that_has_a_sensor(place):
    hwmon(classes(place), "hwmon1", "amdgpu", power1_average=35_000_000)
    found = device_meter(EnergyDevice(kind="cuda", index=1), place)
    assert isinstance(found, NoMeter)


def test_a_cpu_without_rapl_takes_the_power_meter_of_the_machine(place):
    hwmon(classes(place), "hwmon5", "power_meter", power1_average=320_000_000)
    meter = device_meter(CPU, place)
    assert (meter.kind, meter.scope, meter.read()) == ("averaged", "machine", pytest.approx(320))
