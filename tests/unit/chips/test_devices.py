"""Device names -> chips: each entry means one chip that exists, and near names mean none."""

from __future__ import annotations

import re

import pytest

from crossgrade.chips.devices import chip_of_device, device_names
from crossgrade.chips.loader import chip_names

NAMES = device_names()


@pytest.mark.parametrize("device", NAMES, ids=lambda d: d.example)
def test_an_entry_names_a_described_chip_and_matches_its_example_alone(device):
    assert device.chip in chip_names()
    assert [d.example for d in NAMES if d.pattern.fullmatch(device.example)] == [device.example]
    assert chip_of_device(device.example) == device.chip


@pytest.mark.parametrize("device", NAMES, ids=lambda d: d.example)
def test_a_source_is_a_file_at_a_commit(device):
    assert re.match(r"https://github\.com/[^/]+/[^/]+/blob/[0-9a-f]{40}/", device.url)


@pytest.mark.parametrize("name", [
    "NVIDIA A100-PCIE-40GB", "NVIDIA GH200 120GB", "NVIDIA GeForce RTX 4090 D", "NVIDIA A40-8Q",
    "NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "NVIDIA H100 NVL", "NVIDIA H100",
    "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
    "NVIDIA H800 PCIe", "NVIDIA H20-3e", "NVIDIA H200 NVL", "NVIDIA A100-SXM4-40GB",
    "NVIDIA L40", "AMD Instinct MI300X VF", "AMD Instinct MI300A",
    "Ascend910B2C", "Ascend910B4-1", "Ascend910_9392", "Ascend910_9362", "Ascend910B",
    "Ascend950PR_9599", "AMD EPYC", "simulated", "",
])  # fmt: skip
def test_another_part_with_a_near_name_has_no_data_sheet(name):
    assert chip_of_device(name) == ""
