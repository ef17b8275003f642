"""The device's own clock: its arithmetic, and devices that have none."""

import torch

from crossgrade.targets.event_timer import EventTimer, event_maker
from crossgrade.targets.registry import open_target


class _Clock:
    """A device whose calls take 3 ms each; its events read its clock."""

    def __init__(self):
        self.now_ms = 0.0
        self.log = []

    def launch(self):
        self.now_ms += 3.0

    def synchronize(self):
        self.log.append("target waits")

    def event(self):
        return _Event(self)


class _Event:
    def __init__(self, clock):
        self.clock = clock

    def record(self):
        self.at = self.clock.now_ms
        self.clock.log.append("record")

    def synchronize(self):
        self.clock.log.append("event waits")

    def elapsed_time(self, end):
        return end.at - self.at


def test_a_span_is_the_time_between_two_events_in_ns():
    device = _Clock()
    timer = EventTimer(device, device.event)
    assert timer.kind == "device-event"
    assert timer.span_ns(device, 4) == 12e6
    assert timer.span_ns(device, 0) == 0.0
    assert device.log[:4] == ["target waits", "record", "record", "event waits"]


def test_a_cpu_has_no_events_and_two_walls():
    assert event_maker(torch.device("cpu")) is None
    kinds = [timer.kind for timer in open_target("cpu").timers()]
    assert kinds == ["wall-synchronize", "wall-read"]


def test_a_device_whose_events_fail_has_none():
    assert event_maker(torch.device("meta")) is None
    assert event_maker(torch.device("cuda")) is None or torch.cuda.is_available()
