"""What the system's files say of the host, from files written here."""

import pytest

from crossgrade.chips.probe import free_memory_bytes
from crossgrade.targets.host import check_room, flush_bytes, host_witness
from crossgrade.values.operator_case import CannotRun


def _write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_readings_in_si_units(tmp_path):
    cpufreq = "sys/devices/system/cpu/cpu0/cpufreq"
    _write(
        tmp_path,
        {
            f"{cpufreq}/scaling_cur_freq": "2400000\n",
            f"{cpufreq}/base_frequency": "2100000\n",
            "sys/class/thermal/thermal_zone0/temp": "41000\n",
            "sys/class/thermal/thermal_zone1/temp": "55500\n",
            "proc/loadavg": "1.25 0.5 0.1 1/90 5\n",
            "proc/stat": "cpu  1 2 3 4 5 6 7 800 9 10\n",
        },
    )
    witness = host_witness(tmp_path)
    assert witness.readings == {
        "clock_hz": 2.4e9,
        "temperature_c": 55.5,
        "load": 1.25,
        "steal_s": 8.0,
    }
    assert set(witness.unread) == {"power_w", "throttled", "clock_nominal_hz"}


def test_the_clock_falls_back_to_cpuinfo(tmp_path):
    _write(tmp_path, {"proc/cpuinfo": "processor\t: 0\ncpu MHz\t\t: 2793.4\n"})
    assert host_witness(tmp_path).readings == {"clock_hz": pytest.approx(2.7934e9)}


def test_a_host_that_tells_nothing_gives_reasons(tmp_path):
    witness = host_witness(tmp_path)
    assert witness.readings == {}
    assert all(witness.unread.values())
    assert "clock_hz" in witness.unread


def test_free_memory_is_the_least_of_machine_and_cgroups(tmp_path):
    assert free_memory_bytes(tmp_path) is None
    _write(tmp_path, {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:   4000 kB\n"})
    assert free_memory_bytes(tmp_path) == 4000 * 1024
    group = "sys/fs/cgroup/job"
    _write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/job\n",
            f"{group}/memory.max": "3000000\n",
            f"{group}/memory.current": "2000000\n",
            f"{group}/memory.stat": "anon 1\ninactive_file 500000\n",
        },
    )
    assert free_memory_bytes(tmp_path) == 1_500_000
    _write(tmp_path, {f"{group}/memory.max": "max\n"})
    assert free_memory_bytes(tmp_path) == 4000 * 1024


def test_room_is_checked_where_it_is_known():
    check_room(79, 100)
    check_room(1e30, None)
    with pytest.raises(CannotRun, match="too-large"):
        check_room(81, 100)


def test_a_flush_touches_twice_the_cache():
    assert flush_bytes(1000) == 2000
    assert flush_bytes(0) == 256 * 2**20
