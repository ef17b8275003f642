"""Which device a target says it is, and which sensor that gives."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from crossgrade.targets import torch_device
from crossgrade.targets.energy.finding import meter_of
from crossgrade.targets.energy.meter import Metered, NoMeter, Place
from crossgrade.targets.registry import open_target
from crossgrade.targets.torch_device import TorchTarget

ON_CPU = ("cpu", "compile:cpu", "onnxruntime", "openvino")


@pytest.fixture
def place(tmp_path):
    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")
    (zone / "energy_uj").write_text("1000000\n")
    return Place(root=tmp_path, env={"PATH": ""})


@pytest.mark.parametrize("spec", ON_CPU)
def test_targets_on_the_cpu_have_the_counter_of_the_package(place, spec):
    if spec in ("onnxruntime", "openvino"):
        pytest.importorskip(spec)
    target = open_target(spec)
    meter = meter_of(target, place)
    assert not isinstance(meter, NoMeter)
    assert meter.sensor == "RAPL package-0"
    target.close()


@pytest.mark.parametrize("spec", ["null", "faulty:lying-synchronize"])
def test_made_up_devices_have_no_sensor(place, spec):
    target = open_target(spec)
    assert not isinstance(target, Metered)
    assert isinstance(meter_of(target, place), NoMeter)


@pytest.fixture
def device(monkeypatch):
    """Return a target of a device type that is made up, with what its module tells."""

    def made(properties, **functions):
        module = SimpleNamespace(get_device_properties=lambda device: properties, **functions)
        monkeypatch.setattr(torch_device, "device_module", lambda device: module)
        return TorchTarget(torch.device("meta", 3)).energy_device()

    return made


def test_a_device_says_what_its_module_tells(device):
    properties = SimpleNamespace(uuid="aaaa-bbbb", pci_domain_id=0, pci_bus_id=0xC1,
                                 pci_device_id=2)  # fmt: skip
    told = device(properties, power_draw=lambda device: 81_500)
    assert (told.kind, told.index, told.uuid, told.pci) == ("meta", 3, "aaaa-bbbb", "0000:c1:02.0")
    assert told.power_w is not None
    assert told.power_w() == pytest.approx(81.5)
    assert told.power_name == "torch.meta.power_draw"


def test_a_device_that_tells_nothing_leaves_it_empty(device):
    told = device(SimpleNamespace())
    assert (told.uuid, told.pci, told.power_w) == ("", "", None)


def test_sensors_need_neither_torch_nor_numpy():
    program = (
        "import sys; from crossgrade.targets.energy.finding import meter_of; "
        "assert not {'torch', 'numpy', 'pynvml'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
