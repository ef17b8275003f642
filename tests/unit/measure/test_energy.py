"""Energy of a call, from sensors whose power is known, on a clock of the test's own."""

from __future__ import annotations

import sys
import types

import pytest

from crossgrade.measure.energy import LEAST_UPDATES, energy_of
from crossgrade.targets.energy import (
    NoEnergy,
    Sensor,
    host_sensor,
    npu_sensor,
    nvml_sensor,
    torch_sensor,
)

CALL_S = 0.05


class World:
    """A device that takes 10 W idle and more at work; time goes by sleeping and working."""

    def __init__(self, kind="counter", work_w=60.0, step_s=0.001, wraps=None):
        self.now, self.joules, self.watts = 0.0, 0.0, 10.0
        self.work_w = work_w
        self.step_s, self.wraps = step_s, wraps
        self.kind = kind
        self.spec = "made-up"

    def pass_time(self, seconds):
        self.now += seconds
        self.joules += seconds * self.watts

    def read(self):
        if self.kind != "counter":
            return self.watts
        seen = self.joules - (self.joules % (self.step_s * self.watts))
        return seen % self.wraps if self.wraps else seen

    def energy_sensor(self):
        return Sensor(name="made-up", kind=self.kind, scope="board", read=self.read,
                      wraps_at_j=self.wraps)  # fmt: skip

    def launch(self):
        self.watts = self.work_w
        self.pass_time(CALL_S)
        self.watts = 10.0

    def synchronize(self):
        pass


def measured(world):
    return energy_of(world, world, clock=lambda: world.now, sleep=world.pass_time)


class TestCounters:
    def test_idle_power_is_taken_off(self):
        found = measured(World())
        assert found.reason is None
        assert found.gross_joules_per_call == pytest.approx(60 * CALL_S, rel=0.01)
        assert found.joules_per_call == pytest.approx(50 * CALL_S, rel=0.01)
        assert found.idle_w == pytest.approx(10, rel=0.01)
        assert (found.sensor, found.kind, found.scope) == ("made-up", "counter", "board")
        assert found.seconds == pytest.approx(found.calls * CALL_S)

    def test_a_counter_that_begins_again_is_followed(self):
        assert measured(World(wraps=37.0)).joules_per_call == pytest.approx(50 * CALL_S, rel=0.02)

    def test_one_that_goes_back_without_saying_where_is_no_figure(self):
        world = World(wraps=37.0)
        sensor = world.energy_sensor()
        world.energy_sensor = lambda: Sensor(name=sensor.name, kind=sensor.kind,
                                             scope=sensor.scope, read=sensor.read)  # fmt: skip
        found = measured(world)
        assert (found.joules_per_call, found.reason) == (None, "error")

    def test_one_that_hardly_changes_is_too_coarse(self):
        found = measured(World(step_s=60.0))
        assert found.reason == "too-coarse"
        assert found.joules_per_call is None
        assert found.seconds > 0

    def test_work_that_takes_no_more_than_idling_has_no_figure(self):
        found = measured(World(work_w=10.0))
        assert found.reason == "below-idle"
        assert found.joules_per_call is None
        assert found.gross_joules_per_call == pytest.approx(10 * CALL_S, rel=0.01)


def test_power_is_integrated_while_it_works():
    """A thread reads the power; here it sees the wall clock, so the figure is a rough one."""
    import time

    class Wall(World):
        def launch(self):
            self.watts = self.work_w + (time.monotonic() % 1e-3)
            time.sleep(0.01)

    world = Wall(kind="averaged")
    found = energy_of(world, world)
    assert found.reason is None
    assert found.active_w == pytest.approx(60, rel=0.1)
    assert found.idle_w == pytest.approx(10, rel=0.3)
    assert found.gross_joules_per_call * found.calls == pytest.approx(60 * found.seconds, rel=0.1)


def test_a_target_without_a_sensor_says_so():
    found = energy_of(types.SimpleNamespace(spec="plain"), World())
    assert (found.joules_per_call, found.reason) == (None, "no-sensor")
    assert "plain" in found.detail


class TestHost:
    def package(self, root, number, joules, name=None, limit="262143328850"):
        folder = root / f"sys/class/powercap/intel-rapl:{number}"
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name or f'package-{number}'}\n")
        (folder / "energy_uj").write_text(f"{int(joules * 1e6)}\n")
        (folder / "max_energy_range_uj").write_text(limit)
        return folder

    def test_packages_are_summed_and_nothing_else(self, tmp_path):
        self.package(tmp_path, 0, 5.0)
        self.package(tmp_path, 1, 7.0)
        self.package(tmp_path, 2, 100.0, name="psys")
        sensor = host_sensor(tmp_path)
        assert sensor.read() == pytest.approx(12)
        assert "package-0 + package-1" in sensor.name
        assert sensor.wraps_at_j is None

    def test_a_single_one_says_where_it_begins_again(self, tmp_path):
        self.package(tmp_path, 0, 5.0)
        assert host_sensor(tmp_path).wraps_at_j == pytest.approx(262143.32885)

    def test_none_at_all(self, tmp_path):
        with pytest.raises(NoEnergy, match="virtual machines") as nothing:
            host_sensor(tmp_path)
        assert nothing.value.reason == "no-sensor"

    def test_one_that_may_not_be_read(self, tmp_path, monkeypatch):
        folder = self.package(tmp_path, 0, 5.0)
        read = type(folder).read_text

        def refusing(path, *args, **options):
            if path.name == "energy_uj":
                raise PermissionError(13, "Permission denied")
            return read(path, *args, **options)

        monkeypatch.setattr(type(folder), "read_text", refusing)
        with pytest.raises(NoEnergy, match="chmod") as nothing:
            host_sensor(tmp_path)
        assert nothing.value.reason == "not-permitted"


class TestDevices:
    def nvml(self, monkeypatch, **functions):
        module = types.ModuleType("pynvml")
        module.nvmlInit = lambda: None
        module.nvmlDeviceGetHandleByIndex = lambda index: f"board {index}"

        def by_uuid(uuid):
            if uuid != b"GPU-77":
                raise RuntimeError("not found")
            return "board by uuid"

        module.nvmlDeviceGetHandleByUUID = by_uuid
        for name, function in functions.items():
            setattr(module, name, function)
        monkeypatch.setitem(sys.modules, "pynvml", module)

    def test_a_board_is_found_by_its_identity(self, monkeypatch):
        asked = []
        self.nvml(monkeypatch, nvmlDeviceGetTotalEnergyConsumption=lambda h: asked.append(h) or 4e3)
        assert nvml_sensor("77", 3).read() == 4.0
        assert nvml_sensor("", 3).kind == "counter"
        assert asked == ["board by uuid", "board by uuid", "board 3"]

    def test_an_old_board_tells_power_alone(self, monkeypatch):
        def no(handle):
            raise RuntimeError("Not Supported")

        self.nvml(monkeypatch, nvmlDeviceGetTotalEnergyConsumption=no,
                  nvmlDeviceGetPowerUsage=lambda h: 250_000)  # fmt: skip
        sensor = nvml_sensor("", 0)
        assert (sensor.read(), sensor.kind) == (250.0, "averaged")

    def test_without_the_library(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pynvml", None)
        with pytest.raises(NoEnergy, match="pynvml") as nothing:
            nvml_sensor("", 0)
        assert nothing.value.reason == "no-sensor"

    # Written after the vendor's description of `npu-smi info -t power`.
    @pytest.mark.parametrize("text", [
        "\tNPU ID                         : 0\n\tChip Count                     : 1\n\n"
        "\tPower Dissipation(W)           : 93.8\n\tChip ID                        : 0\n",
        "\tNPU ID                         : 0\n\tNPU Real-time Power(W)         : 93.8\n",
    ])  # fmt: skip
    def test_npu_smi_is_read(self, text):
        assert npu_sensor(0, lambda command: text).read() == 93.8

    def test_npu_smi_that_says_something_else(self):
        with pytest.raises(NoEnergy, match="tells no power: 'This device'"):
            npu_sensor(0, lambda command: "This device")

    def test_torch_tells_milliwatts(self):
        module = types.SimpleNamespace(__name__="torch.made_up", power_draw=lambda device: 5000)
        assert torch_sensor(module, "made_up:0").read() == 5.0
        with pytest.raises(NoEnergy, match=r"no torch\.none\.power_draw"):
            torch_sensor(types.SimpleNamespace(__name__="torch.none"), "none:0")


def test_the_least_updates_are_more_than_the_ends_of_a_span():
    assert LEAST_UPDATES > 2
