"""Print random constants of the shipped chips with their sources, and compare them elsewhere.

    CROSSGRADE_DATA=folder python tools/check_chip_constants.py --n 20 --seed 1

For each constant the tool prints value, source and note, so that a person can open the source.
Where the folder in $CROSSGRADE_DATA holds the same constant, the ratio ours / theirs is printed:
`chips/epoch_ml_hardware*.csv`, `claims/specs/spec_observations_9_sources.json` and
`claims/specs/aiconfigurator_systems/*.yaml`. A ratio off 1 is a question, not an error: GiB
against GB gives 0.93, a marketing rate against one derived from cores and clock 0.94. A value that
the file has neither as the constant nor under `[[disagreements]]` is marked.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crossgrade.chips.loader import chip_names, load_chip
from crossgrade.chips.validate import constants
from crossgrade.values.chip import Chip
from crossgrade.values.evidence import Constant

EPOCH_NAMES = {
    "a100": "NVIDIA A100 SXM4 80 GB",
    "a100-pcie": "NVIDIA A100 PCIe",
    "a40": "NVIDIA A40 PCIe",
    "a800": "NVIDIA A800 SXM",
    "ascend-910b1": "Huawei Ascend 910B1 (v1)",
    "ascend-910b2": "Huawei Ascend 910B2",
    "ascend-910b3": "Huawei Ascend 910B3",
    "ascend-910b4": "Huawei Ascend 910B4",
    "ascend-910c": "Huawei Ascend 910C",
    "ascend-950dt": "Huawei Ascend 950DT",
    "b200": "NVIDIA B200",
    "b300": "NVIDIA B300 (Blackwell Ultra)",
    "gaudi2": "Intel Habana Gaudi2",
    "gaudi3": "Intel Habana Gaudi3",
    "gb200": "NVIDIA GB200",
    "gb300": "NVIDIA GB300 (Blackwell Ultra)",
    "gh200": "NVIDIA GH200",
    "h100": "NVIDIA H100 SXM5 80GB",
    "h100-pcie": "NVIDIA H100 PCIe",
    "h20": "NVIDIA HGX H20",
    "h200": "NVIDIA H200 SXM",
    "h800": "NVIDIA H800 SXM5",
    "l4": "NVIDIA L4",
    "max-1550": "Intel Data Center GPU Max 1550",
    "metax-c500": "MetaX MXC500 (OAM)",
    "mi250x": "AMD Radeon Instinct MI250X",
    "mi300x": "AMD Instinct MI300X",
    "mi308x": "AMD Radeon Instinct MI308X",
    "mi325x": "AMD Instinct MI325X",
    "mi355x": "AMD Instinct MI355X",
    "mlu370": "Cambricon MLU370-X8",
    "mtt-s4000": "MTT S4000",
    "rtx-4090": "NVIDIA GeForce RTX 4090",
    "tpu-v5e": "Google TPU v5e",
    "tpu-v5p": "Google TPU v5p",
    "tpu-v6e": "Google TPU v6e Trillium",
    "tpu-v7": "Google TPU v7 Ironwood",
    "trainium2": "Amazon Trainium2",
    "v100": "NVIDIA Tesla V100 SXM2 32 GB",
}
EPOCH_COLUMNS = {
    "peaks[matrix/bf16]": "Tensor-FP16/BF16 performance (FLOP/s)",
    "peaks[matrix/fp16]": "Tensor-FP16/BF16 performance (FLOP/s)",
    "peaks[matrix/fp8]": "FP8 performance (FLOP/s)",
    "peaks[matrix/fp4]": "FP4 performance (FLOP/s)",
    "peaks[matrix/tf32]": "TF32 (TensorFloat-32) performance (FLOP/s)",
    "peaks[matrix/int8]": "INT8 performance (OP/s)",
    "peaks[vector/fp32]": "FP32 (single precision) performance (FLOP/s)",
    "peaks[vector/fp64]": "FP64 (double precision) performance (FLOP/s)",
    "memory_capacity": "Memory (bytes)",
    "memory_bandwidth": "Memory bandwidth (byte/s)",
    "power": "TDP (W)",
}
# Epoch puts the matrix rate of these chips into its FP16 column and leaves the tensor one empty.
EPOCH_FP16_IS_MATRIX = (
    "ascend-910b1", "ascend-910b2", "ascend-910b3", "ascend-910b4", "metax-c500", "mlu370",
)  # fmt: skip
OBSERVED_NAMES = {
    "a100": "A100-SXM-80",
    "ascend-910b2": "Ascend910B2",
    "ascend-910b3": "Ascend910B3",
    "ascend-910c": "Ascend910C",
    "ascend-950dt": "Ascend950DT",
    "b200": "B200",
    "b300": "B300",
    "gaudi2": "Gaudi2",
    "gb200": "GB200",
    "gb300": "GB300",
    "h100": "H100-SXM",
    "h20": "H20",
    "h200": "H200",
    "l40s": "L40S",
    "mi250x": "MI250X",
    "mi300x": "MI300X",
    "mi325x": "MI325X",
    "mi355x": "MI355X",
    "tpu-v5e": "TPUv5e",
    "tpu-v5p": "TPUv5p",
    "tpu-v6e": "TPUv6e",
    "tpu-v7": "TPUv7",
    "trainium2": "Trainium2",
}
OBSERVED_FIELDS = {
    "peaks[matrix/bf16]": "bf16_dense",
    "peaks[matrix/fp16]": "fp16_dense",
    "peaks[matrix/fp8]": "fp8_dense",
    "peaks[matrix/fp4]": "fp4_dense",
    "peaks[matrix/int8]": "int8_dense",
    "memory_capacity": "mem_bytes",
    "memory_bandwidth": "mem_bw",
    "power": "tdp_w",
}
SYSTEM_NAMES = {
    "a100": "a100_sxm", "a100-pcie": "a100_pcie", "a30": "a30", "arc-b60": "b60",
    "b200": "b200_sxm", "b300": "b300_sxm", "gb200": "gb200", "gb300": "gb300",
    "h100": "h100_sxm", "h100-pcie": "h100_pcie", "h200": "h200_sxm", "l4": "l4", "l40s": "l40s",
    "rtx-pro-6000": "rtx_pro_6000_server",
}  # fmt: skip
SYSTEM_KEYS = {
    "peaks[matrix/bf16]": "bfloat16_tc_flops",
    "peaks[matrix/fp8]": "fp8_tc_flops",
    "peaks[matrix/fp4]": "fp4_tc_flops",
    "peaks[matrix/int8]": "int8_tc_flops",
    "memory_capacity": "mem_capacity",
    "memory_bandwidth": "mem_bw",
    "power": "power",
}
SYSTEM_LINKS = {"scale-up": "intra_node_bw", "scale-out": "inter_node_bw", "host": "pcie_bw"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The same constant in another collection."""

    where: str
    """Collection, and who is quoted in it."""
    value: float
    """In our unit."""


def epoch(folder: Path, chip: str, key: str) -> Iterator[Observation]:
    """Yield what the table of Epoch AI says."""
    column = EPOCH_COLUMNS.get(key)
    if chip in EPOCH_FP16_IS_MATRIX and key in ("peaks[matrix/bf16]", "peaks[matrix/fp16]"):
        column = "FP16 (half precision) performance (FLOP/s)"
    if (chip, key) == ("gaudi3", "peaks[matrix/fp16]"):
        return  # its row holds the bf16 rate in the shared FP16/BF16 column
    for path in sorted(folder.glob("chips/epoch_ml_hardware*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if column and row["Hardware name"] == EPOCH_NAMES.get(chip) and row.get(column):
                    yield Observation(where=path.name, value=float(row[column]))


def observed(folder: Path, chip: str, key: str) -> Iterator[Observation]:
    """Yield what nine collections of specifications say."""
    path = folder / "claims/specs/spec_observations_9_sources.json"
    field = OBSERVED_FIELDS.get(key)
    if field is None or not path.exists():
        return
    for row in json.loads(path.read_text(encoding="utf-8")):
        if row["chip"] == OBSERVED_NAMES.get(chip) and row["field"] == field:
            yield Observation(where=f"observations: {row['source']}", value=float(row["value"]))


def systems(folder: Path, chip: str, key: str) -> Iterator[Observation]:
    """Yield what aiconfigurator's system files say; they are flat, so lines will do."""
    link = re.match(r"links\[([a-z-]+):", key)
    wanted = SYSTEM_LINKS.get(link[1]) if link else SYSTEM_KEYS.get(key)
    name = SYSTEM_NAMES.get(chip, "")
    path = folder / f"claims/specs/aiconfigurator_systems/{name}.yaml"
    if wanted is None or not path.exists():
        return
    found = re.search(rf"^\s+{wanted}:\s*([0-9.]+)", path.read_text(encoding="utf-8"), re.M)
    if found:
        yield Observation(where=f"aiconfigurator: {path.name}", value=float(found[1]))


def told(chip: Chip, key: str, constant: Constant, value: float) -> bool:
    """Return whether the file has this value, as the constant or as a disagreement; 0.5 % off."""
    known = [constant.value, *(d.other.value for d in chip.disagreements if d.constant == key)]
    return any(abs(value / one - 1) < 0.005 for one in known)


def report(chip: Chip, key: str, constant: Constant, folder: Path | None) -> tuple[str, ...]:
    """Return the lines about one constant."""
    source = chip.source(constant.source)
    lines = [
        f"{chip.name}  {key}  {constant.value:.6g} {constant.unit} per {constant.scope}",
        f"    source {source.id}: {source.title} ({source.date})",
        f"    {source.url}",
    ]
    if constant.note:
        lines.append(f"    note: {constant.note}")
    if folder is not None:
        for collect in (epoch, observed, systems):
            for other in collect(folder, chip.name, key):
                ratio = constant.value / other.value
                mark = "" if told(chip, key, constant, other.value) else "  <- not in the file"
                lines.append(f"    {ratio:6.3f} x {other.where} ({other.value:.6g}){mark}")
    return tuple(lines)


def main() -> int:
    """Print the sample; return 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--n", type=int, default=20, help="how many constants (0: all)")
    parser.add_argument("--seed", type=int, default=0, help="which sample")
    args = parser.parse_args()
    given = os.environ.get("CROSSGRADE_DATA")
    every = [
        (chip, key, constant)
        for chip in map(load_chip, chip_names())
        for key, constant in constants(chip)
    ]
    count = len(every) if args.n <= 0 else min(args.n, len(every))
    sample = random.Random(args.seed).sample(every, count) if args.n > 0 else every
    for chip, key, constant in sample:
        print("\n".join(report(chip, key, constant, Path(given) if given else None)))
    print(f"{count} of {len(every)} constants, seed {args.seed}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
