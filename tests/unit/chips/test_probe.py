"""The probed CPU is a chip like others, on any machine and without a /proc."""

import itertools
import time

import numpy as np
import pytest

from crossgrade.chips import probe
from crossgrade.chips.probe import Host, probe_cpu, read_host
from crossgrade.chips.validate import check_chip, constants


def host(**changes):
    fields = {
        "model": "Toy CPU",
        "vendor": "Toys",
        "isa": "toy64",
        "flags": frozenset(),
        "threads": 2,
        "threads_note": "said so",
        "memory_bytes": 8e9,
        "memory_note": "said so",
        "cache_bytes": 0.0,
    }
    return Host(**{**fields, **changes})


@pytest.fixture(scope="module")
def chip():
    return probe_cpu(date="2026-11-23", budget_s=0.2)


class TestProbe:
    def test_is_a_valid_chip_with_one_source(self, chip):
        check_chip(chip, "probe")
        assert (chip.name, chip.op_table, chip.scope) == ("cpu", "cpu", "node")
        assert {c.source for _, c in constants(chip)} == {"probe"}
        assert chip.source("probe").date == "2026-11-23"
        assert chip.source("probe").title.startswith("measured here")

    def test_rates_are_of_this_world(self, chip):
        fp32 = chip.peak("matrix", "fp32").rate.value
        assert 1e8 < chip.peak("matrix", "fp64").rate.value < 1e15
        assert 1e8 < fp32 < 1e15
        assert 1e8 < chip.peak("vector", "fp32").rate.value < 1e15
        assert 1e8 < chip.memory_bandwidth.value < 1e14
        assert chip.memory_capacity.value > 1e8

    def test_bf16_only_where_the_isa_has_it(self):
        with_it = probe_cpu(
            date="2026-11-23", host=host(flags=frozenset({"avx512_bf16"})), budget_s=0.02
        )
        assert "avx512_bf16" in with_it.peak("matrix", "bf16").rate.note
        without = probe_cpu(date="2026-11-23", host=host(), budget_s=0.02)
        assert without.peak("matrix", "bf16") is None
        assert any("no rate is given" in note for note in without.notes)

    def test_unknown_memory_stays_unknown(self):
        chip = probe_cpu(date="2026-11-23", host=host(memory_bytes=None), budget_s=0.02)
        assert chip.memory_capacity is None

    def test_the_clock_is_a_parameter(self):
        ticks = itertools.count()
        chip = probe_cpu(
            date="2026-11-23", host=host(), clock=lambda: next(ticks) * 0.5, budget_s=1.0
        )
        # Every timed call takes half a second on this clock: the first size, 256, is the last.
        assert chip.peak("matrix", "fp32").rate.value == pytest.approx(2 * 256**3 / 0.5)
        assert chip.memory_bandwidth.value == pytest.approx(2 * 64 * 2**20 / 0.5)

    def test_a_clock_that_does_not_tick_gives_no_nonsense(self):
        assert probe._best_s(lambda: None, lambda: 0.0, 0.0) > 0

    def test_best_is_the_shortest_after_a_warm_up(self):
        times = iter([0.0, 3.0, 3.0, 4.0, 4.0, 6.0])
        assert probe._best_s(lambda: None, lambda: next(times), 0.0) == 1.0

    def test_matmul_rate_does_not_depend_on_the_result(self):
        assert probe._matmul_rate(np.float32, time.perf_counter, 0.02) > 0


class TestHost:
    def write(self, root, files):
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def test_without_proc(self, tmp_path):
        found = read_host(tmp_path)
        assert found.model
        assert found.threads >= 1
        assert found.flags == frozenset()
        assert found.cache_bytes == 0

    def test_reads_model_flags_memory_and_cache(self, tmp_path):
        self.write(
            tmp_path,
            {
                "proc/cpuinfo": "vendor_id\t: Toys\nmodel name\t: Toy: 9000\nflags\t\t: fpu avx2\n"
                "\nmodel name\t: other\n",
                "proc/meminfo": "MemTotal:       1000 kB\nMemFree: 5 kB\n",
                "sys/devices/system/cpu/cpu0/cache/index0/size": "48K\n",
                "sys/devices/system/cpu/cpu0/cache/index3/size": "32M\n",
            },
        )
        found = read_host(tmp_path)
        assert (found.model, found.vendor) == ("Toy: 9000", "Toys")
        assert found.flags == {"fpu", "avx2"}
        assert found.memory_bytes == 1024000
        assert found.cache_bytes == 32 * 2**20

    def test_cgroup_v2_limits_hold(self, tmp_path, monkeypatch):
        monkeypatch.setattr(probe.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
        self.write(
            tmp_path,
            {
                "proc/meminfo": "MemTotal: 4000000 kB\n",
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/b/memory.max": "1000000\n",
            },
        )
        found = read_host(tmp_path)
        assert found.threads == 2
        assert "1.5" in found.threads_note
        assert found.memory_bytes == 1e6
        assert "cgroup" in found.memory_note

    def test_cgroup_v1_limits_hold(self, tmp_path, monkeypatch):
        monkeypatch.setattr(probe.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
        self.write(
            tmp_path,
            {
                "proc/meminfo": "MemTotal: 4000000 kB\n",
                "proc/self/cgroup": "3:cpu,cpuacct:/job\n2:memory:/job\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "2000000\n",
            },
        )
        found = read_host(tmp_path)
        assert (found.threads, found.memory_bytes) == (3, 2e6)

    def test_no_limit_means_affinity(self, tmp_path, monkeypatch):
        monkeypatch.setattr(probe.os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
        self.write(
            tmp_path,
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"},
        )
        found = read_host(tmp_path)
        assert found.threads == 3
        assert "affinity" in found.threads_note

    def test_systems_without_affinity(self, tmp_path, monkeypatch):
        monkeypatch.delattr(probe.os, "sched_getaffinity", raising=False)
        monkeypatch.setattr(probe.os, "cpu_count", lambda: None)
        assert read_host(tmp_path).threads == 1
