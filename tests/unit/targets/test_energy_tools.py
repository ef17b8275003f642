"""Vendors' tools and libraries as sensors: programs on the path, and a module, that print and give
what the vendors document. The outputs are written after those documents, not recorded."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest

from crossgrade.targets.energy import tools
from crossgrade.targets.energy.finding import device_meter, meter_of
from crossgrade.targets.energy.meter import CannotRead, EnergyDevice, NoMeter, Place
from crossgrade.targets.energy.npu_smi import Chip, chip_of, power_in_table

SAMPLES = Path(__file__).parents[2] / "data/energy"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the tools are shell scripts")


@pytest.fixture
def place(tmp_path):
    (tmp_path / "bin").mkdir()
    return Place(root=tmp_path, env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"})


def tool(place: Place, name: str, answers: dict[str, str], *, code: int = 0, to: str = "bin"):
    """Put a program on the path that prints a file for each known command line, and notes it."""
    folder = place.root / to
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["#!/bin/sh", f'echo "$*" >> {place.root}/asked']
    for number, (arguments, text) in enumerate(answers.items()):
        (folder / f"{name}.{number}").write_text(text)
        lines.append(f'[ "$*" = "{arguments}" ] && cat {folder}/{name}.{number} && exit {code}')
    lines.append('echo "unknown: $*" >&2; exit 7')
    (folder / name).write_text("\n".join(lines))
    (folder / name).chmod(0o755)


def asked(place: Place) -> list[str]:
    return (place.root / "asked").read_text().splitlines()


def sample(name: str) -> str:
    return (SAMPLES / name).read_text(encoding="utf-8")


def reason_of(found: object) -> tuple[str, str]:
    assert isinstance(found, NoMeter)
    return found.reason, found.detail


# npu-smi --------------------------------------------------------------------------------------
def test_an_npu_is_asked_by_npu_and_chip(place):
    tool(place, "npu-smi", {
        "info -m": sample("npu-smi-map-a2.txt"),
        "info -t power -i 5 -c 0": sample("npu-smi-power.txt"),
    })  # fmt: skip
    meter = device_meter(EnergyDevice(kind="npu", index=1), place)
    assert (meter.sensor, meter.kind, meter.scope) == ("npu-smi NPU 5 chip 0", "instant", "package")
    assert meter.read() == pytest.approx(93.4)


def test_the_mapping_is_asked_once(place):
    tool(place, "npu-smi", {
        "info -m": sample("npu-smi-map-a2.txt"),
        "info -t power -i 2 -c 0": sample("npu-smi-power.txt"),
    })  # fmt: skip
    meter = device_meter(EnergyDevice(kind="npu"), place)
    for _ in range(3):
        meter.read()
    assert asked(place).count("info -m") == 1


def test_visible_devices_are_followed(place):
    place.env["ASCEND_RT_VISIBLE_DEVICES"] = "3, 1"
    tool(place, "npu-smi", {
        "info -m": sample("npu-smi-map-a2.txt"),
        "info -t power -i 5 -c 0": sample("npu-smi-power.txt"),
    })  # fmt: skip
    assert device_meter(EnergyDevice(kind="npu", index=1), place).read() == pytest.approx(93.4)
    reason, detail = reason_of(device_meter(EnergyDevice(kind="npu", index=2), place))
    assert reason == "no-sensor"
    assert "ASCEND_RT_VISIBLE_DEVICES=3, 1 does not name device 2" in detail


@pytest.mark.parametrize(
    ("name", "logic", "chip"),
    [
        ("npu-smi-map-a2.txt", 0, Chip(npu=2, chip=0, shared=False)),
        ("npu-smi-map-a3.txt", 0, Chip(npu=0, chip=0, shared=True)),
        ("npu-smi-map-a3.txt", 3, Chip(npu=1, chip=1, shared=True)),
        ("npu-smi-map-950.txt", 1, Chip(npu=1, chip=0, shared=False)),
    ],
)
def test_a_chip_is_found_in_the_table_of_each_generation(name, logic, chip):
    assert chip_of(sample(name), logic) == chip


def test_a_chip_that_is_not_listed_has_no_sensor():
    with pytest.raises(CannotRead) as raised:
        chip_of(sample("npu-smi-map-a2.txt"), 7)
    assert raised.value.reason == "no-sensor"
    with pytest.raises(CannotRead) as raised:
        chip_of("dcmi module initialize failed. ret is -8005\n", 0)
    assert raised.value.reason == "error"


@pytest.mark.parametrize(
    ("name", "chip", "watts"),
    [
        ("npu-smi-table-a2.txt", Chip(npu=5, chip=0, shared=False), 96.1),
        ("npu-smi-table-a3.txt", Chip(npu=1, chip=0, shared=True), 171.5),
        ("npu-smi-table-a3.txt", Chip(npu=1, chip=1, shared=True), 171.5),
    ],
)
def test_power_is_found_in_the_table(name, chip, watts):
    assert power_in_table(sample(name), chip) == pytest.approx(watts)


@pytest.mark.parametrize(
    "answer", ["\tRated Power Dissipation(W)      : 8.0\n", "\tNPU Real-time Power(W) : NA\n"]
)
def test_a_rated_power_is_none_and_the_table_is_asked(place, answer):
    tool(place, "npu-smi", {
        "info -m": sample("npu-smi-map-a2.txt"),
        "info -t power -i 5 -c 0": answer,
        "info": sample("npu-smi-table-a2.txt"),
    })  # fmt: skip
    assert device_meter(EnergyDevice(kind="npu", index=1), place).read() == pytest.approx(96.1)


def test_a_tool_in_a_folder_of_vendors_is_found(place):
    tool(place, "npu-smi", {
        "info -m": sample("npu-smi-map-a2.txt"),
        "info -t power -i 5 -c 0": sample("npu-smi-power.txt"),
    }, to="usr/local/sbin")  # fmt: skip
    assert device_meter(EnergyDevice(kind="npu", index=1), place).read() == pytest.approx(93.4)


# what goes wrong with tools -------------------------------------------------------------------
def test_a_tool_that_is_not_there_is_named(place):
    reason, detail = reason_of(device_meter(EnergyDevice(kind="npu"), place))
    assert reason == "no-sensor"
    assert "npu-smi is not on the search path" in detail


def test_a_tool_that_refuses_is_told_with_its_words(place):
    tool(place, "npu-smi", {"info -m": "Permission denied: not in the group\n"}, code=3)
    reason, detail = reason_of(device_meter(EnergyDevice(kind="npu"), place))
    assert reason == "not-permitted"
    assert "`npu-smi info -m` ended with 3: Permission denied" in detail


def test_a_tool_that_fails_is_an_error(place):
    tool(place, "npu-smi", {"info -m": "dcmi module initialize failed. ret is -8005\n"}, code=1)
    assert reason_of(device_meter(EnergyDevice(kind="npu"), place))[0] == "error"


def test_a_tool_that_hangs_is_given_up(place, monkeypatch):
    monkeypatch.setattr(tools, "LIMIT_S", 0.2)
    (place.root / "bin/npu-smi").write_text("#!/bin/sh\nexec sleep 60\n")
    (place.root / "bin/npu-smi").chmod(0o755)
    reason, detail = reason_of(device_meter(EnergyDevice(kind="npu"), place))
    assert (reason, "took longer than 0.2 s" in detail) == ("error", True)


def test_a_file_that_is_no_program_is_an_error(place):
    (place.root / "bin/npu-smi").write_bytes(b"\x7fELF broken")
    (place.root / "bin/npu-smi").chmod(0o755)
    assert reason_of(device_meter(EnergyDevice(kind="npu"), place))[0] == "error"


# amd-smi and rocm-smi -------------------------------------------------------------------------
GPU = EnergyDevice(kind="cuda", index=0, pci="0000:c1:00.0")


@pytest.fixture(autouse=True)
def without_nvml(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)


def test_amd_smi_gives_a_counter(place):
    tool(place, "amd-smi", {
        "metric --gpu 0000:c1:00.0 --energy --json": sample("amd-smi-energy.json"),
    })  # fmt: skip
    meter = device_meter(GPU, place)
    assert (meter.sensor, meter.kind) == ("amd-smi total_energy_consumption", "counter")
    assert meter.read() == pytest.approx(1234567.891)


POWERS = [
    ({"power": {"socket_power": {"value": 142, "unit": "W"}}}, "instant", 142),
    ({"power": {"socket_power": "N/A", "average_socket_power": "98.5 W"}}, "averaged", 98.5),
    ({"power": {"current_socket_power": 77}}, "instant", 77),
    ({"power": {"socket_power": {"value": 142_000_000, "unit": "uW"}}}, "instant", 142),
]


@pytest.mark.parametrize(("gpu", "kind", "watts"), POWERS)
@pytest.mark.parametrize("wrapped", [True, False])
def test_amd_smi_gives_power_in_every_spelling(place, gpu, kind, watts, wrapped):
    document = {"gpu_data": [gpu]} if wrapped else [gpu]
    none = json.dumps([{"energy": {"total_energy_consumption": "N/A"}}])
    tool(place, "amd-smi", {
        "metric --gpu 0000:c1:00.0 --energy --json": none,
        "metric --gpu 0000:c1:00.0 --power --json": json.dumps(document),
    })  # fmt: skip
    meter = device_meter(GPU, place)
    assert (meter.kind, meter.read()) == (kind, pytest.approx(watts))


def test_rocm_smi_is_asked_by_index_after_warnings(place):
    place.env["HIP_VISIBLE_DEVICES"] = "2"
    place.env["CUDA_VISIBLE_DEVICES"] = "9"
    place.env["ROCR_VISIBLE_DEVICES"] = "4,5,6"
    tool(place, "rocm-smi", {"-d 6 --showpower --json": sample("rocm-smi-power.txt")})
    meter = device_meter(GPU, place)
    assert (meter.sensor, meter.kind) == (
        "rocm-smi Average Graphics Package Power (W)", "averaged",
    )  # fmt: skip
    assert meter.read() == pytest.approx(41.0)


def test_an_answer_that_is_no_json_is_an_error(place):
    arguments = "metric --gpu 0000:c1:00.0 --energy --json"
    tool(place, "amd-smi", {arguments: "Segmentation fault\n"})
    reason, detail = reason_of(device_meter(GPU, place))
    assert (reason, "no JSON: Segmentation fault" in detail) == ("error", True)


# xpu-smi --------------------------------------------------------------------------------------
def test_xpu_smi_gives_a_counter(place):
    place.env["ZE_AFFINITY_MASK"] = "1"
    tool(place, "xpu-smi", {"dump -d 1 -m 8 -n 1": sample("xpu-smi-energy.csv")})
    meter = device_meter(EnergyDevice(kind="xpu"), place)
    assert (meter.kind, meter.scope, meter.read()) == ("counter", "board", pytest.approx(59886.57))


def test_xpu_smi_gives_power_where_there_is_no_counter(place):
    tool(place, "xpu-smi", {
        "dump -d 0 -m 8 -n 1": "Timestamp, DeviceId, GPU Energy Consumed (J)\n06:14:46, 0, N/A\n",
        "dump -d 0 -m 1 -n 1": "Timestamp, DeviceId, GPU Power (W)\n06:14:46.000,    0, 32.94\n",
    })  # fmt: skip
    meter = device_meter(EnergyDevice(kind="xpu"), place)
    assert (meter.kind, meter.read()) == ("instant", pytest.approx(32.94))


def test_a_part_of_a_gpu_has_no_sensor(place):
    place.env["ZE_AFFINITY_MASK"] = "0.1"
    tool(place, "xpu-smi", {})
    reason, detail = reason_of(device_meter(EnergyDevice(kind="xpu"), place))
    assert (reason, "ZE_AFFINITY_MASK=0.1" in detail) == ("no-sensor", True)


# NVML -----------------------------------------------------------------------------------------
class NVMLError(Exception):
    def __init__(self, value):
        super().__init__(f"code {value}")
        self.value = value


class Nvml(types.ModuleType):
    """A module with the names of nvidia-ml-py and three GPUs."""

    NVMLError = NVMLError
    NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_NO_PERMISSION = 2, 3, 4
    NVML_ERROR_NOT_FOUND, NVML_ERROR_DRIVER_NOT_LOADED = 6, 9
    NVML_ERROR_LIBRARY_NOT_FOUND, NVML_ERROR_FUNCTION_NOT_FOUND = 12, 13
    GPUS = (
        ("GPU-aaaa", "0000:01:00.0"),
        ("GPU-bbbb", "0000:02:00.0"),
        ("GPU-cccc", "0000:03:00.0"),
    )

    def __init__(self, count=3, refuses=None, mig=False):
        super().__init__("pynvml")
        self.count, self.refuses, self.mig, self.open = count, refuses or {}, mig, 0

    def _check(self, name):
        if name in self.refuses:
            raise NVMLError(self.refuses[name])

    def nvmlInit(self):
        self._check("init")
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def _find(self, place, name):
        for index, gpu in enumerate(self.GPUS[: self.count]):
            if gpu[place] == name:
                return index
        raise NVMLError(self.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetHandleByUUID(self, name):
        return self._find(0, name)

    def nvmlDeviceGetHandleByPciBusId(self, name):
        return self._find(1, name)

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetCount(self):
        return self.count

    def nvmlDeviceGetMigMode(self, handle):
        if not self.mig:
            raise NVMLError(self.NVML_ERROR_NOT_SUPPORTED)
        return [1, 1]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        self._check("energy")
        return 1_000_000 * (handle + 1)

    def nvmlDeviceGetPowerUsage(self, handle):
        self._check("power")
        return 70_000 * (handle + 1)


@pytest.fixture
def nvml(monkeypatch):
    def install(**options):
        module = Nvml(**options)
        monkeypatch.setitem(sys.modules, "pynvml", module)
        return module

    return install


@pytest.mark.parametrize(
    ("device", "joules"),
    [
        (EnergyDevice(kind="cuda", index=0, uuid="bbbb"), 2000),
        (EnergyDevice(kind="cuda", index=0, uuid="GPU-cccc"), 3000),
        (EnergyDevice(kind="cuda", index=0, pci="0000:02:00.0"), 2000),
        (EnergyDevice(kind="cuda", index=0, uuid="unknown", pci="0000:03:00.0"), 3000),
    ],
)
def test_nvml_finds_a_gpu_by_what_it_is_not_by_its_index(place, nvml, device, joules):
    nvml()
    meter = device_meter(device, place)
    assert (meter.sensor, meter.kind, meter.scope) == ("NVML total energy", "counter", "board")
    assert meter.read() == pytest.approx(joules)


def test_nvml_takes_the_index_only_where_orders_agree(place, nvml):
    nvml()
    device = EnergyDevice(kind="cuda", index=1)
    place.env["CUDA_VISIBLE_DEVICES"] = "0,2"
    assert "which of them torch means" in reason_of(device_meter(device, place))[1]
    place.env["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    assert device_meter(device, place).read() == pytest.approx(3000)


def test_nvml_gives_power_where_there_is_no_counter(place, nvml):
    nvml(count=1, refuses={"energy": Nvml.NVML_ERROR_NOT_SUPPORTED})
    meter = device_meter(EnergyDevice(kind="cuda"), place)
    assert (meter.kind, meter.read()) == ("averaged", pytest.approx(70.0))


@pytest.mark.parametrize(
    ("options", "reason", "words"),
    [
        ({"refuses": {"init": 9}}, "no-sensor", "NVML: code 9"),
        ({"refuses": {"init": 4}}, "not-permitted", "NVML: code 4"),
        ({"refuses": {"init": 999}}, "error", "NVML: code 999"),
        ({"count": 1, "refuses": {"energy": 4}}, "not-permitted", "NVML: code 4"),
        ({"count": 1, "refuses": {"energy": 3, "power": 3}}, "no-sensor", "neither energy nor"),
        ({"count": 1, "mig": True}, "no-sensor", "MIG shares it"),
    ],
)
def test_nvml_that_refuses_has_its_reason(place, nvml, options, reason, words):
    module = nvml(**options)
    found, detail = reason_of(device_meter(EnergyDevice(kind="cuda"), place))
    assert (found, words in detail) == (reason, True)
    assert module.open == 0


def test_a_meter_of_nvml_is_closed(place, nvml):
    module = nvml(count=1)
    meter = device_meter(EnergyDevice(kind="cuda"), place)
    assert module.open == 1
    meter.close()
    assert module.open == 0


def test_without_the_package_it_says_how_to_get_it(place):
    assert "pip install nvidia-ml-py" in reason_of(device_meter(GPU, place))[1]


# the runtime, and targets ---------------------------------------------------------------------
def test_the_runtime_is_asked_last(place):
    device = EnergyDevice(kind="mlu", power_w=lambda: 81.5, power_name="torch.mlu.power_draw")
    meter = device_meter(device, place)
    assert (meter.sensor, meter.kind, meter.read()) == ("torch.mlu.power_draw", "averaged", 81.5)


def test_a_runtime_that_fails_is_no_sensor(place):
    def power_w():
        raise ModuleNotFoundError("pynvml does not seem to be installed")

    device = EnergyDevice(kind="mlu", power_w=power_w, power_name="torch.mlu.power_draw")
    reason, detail = reason_of(device_meter(device, place))
    assert (reason, "torch.mlu.power_draw: pynvml does" in detail) == ("no-sensor", True)


def test_of_several_reasons_the_one_to_act_on_is_told(place):
    tool(place, "amd-smi", {"metric --gpu 0000:c1:00.0 --energy --json": "must be root\n"}, code=1)
    reason, detail = reason_of(device_meter(GPU, place))
    assert reason == "not-permitted"
    assert "search path" not in detail


def test_a_target_that_says_no_device_has_no_sensor(place):
    assert reason_of(meter_of(object(), place))[0] == "no-sensor"
