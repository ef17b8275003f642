"""Rows of services, and how their degrees are read."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from crossgrade.predict.sources.served import FILE, served_rows

COLUMNS = ("silicon_data_source", "backend", "backend_version", "model_path", "system", "precision",
           "mode", "isl", "osl", "batch_size", "tp_size", "attention_dp_size", "moe_tp_size",
           "moe_ep_size", "silicon_ttft_ms", "silicon_tpot_ms")  # fmt: skip
PUBLIC = "db-dump/2026-04-27; config_id=1; silicon_concurrency=64"
OWN = "source_file=somebody.csv; silicon_concurrency=32"


def row(**changes: str) -> dict[str, str]:
    plain = dict.fromkeys(COLUMNS, "") | {
        "silicon_data_source": PUBLIC, "backend": "vllm", "model_path": "org/M", "mode": "agg",
        "system": "b200_sxm", "isl": "1024", "osl": "512", "batch_size": "32.0", "tp_size": "4.0",
        "attention_dp_size": "1.0", "moe_tp_size": "4.0", "moe_ep_size": "1.0",
        "silicon_ttft_ms": "100", "silicon_tpot_ms": "10",
    }  # fmt: skip
    return plain | changes


@pytest.fixture
def read(tmp_path: Path):
    def rows(*given: dict[str, str]):
        path = tmp_path / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(given)
        return list(served_rows(tmp_path))

    return rows


def test_a_plain_row(read):
    [found] = read(row())
    assert (found.layout.tp, found.layout.dp, found.layout.ep, found.users) == (4, 1, 1, 32)
    assert (found.chip, found.stack, found.ttft_s, found.tpot_s) == ("b200", "vllm", 0.1, 0.01)
    assert found.ranged


def test_ranks_that_are_named_twice_count_once(read):
    both = row(tp_size="64.0", moe_tp_size="8.0", moe_ep_size="8.0", batch_size="64.0")
    spread = both | {"tp_size": "1.0", "attention_dp_size": "64.0", "batch_size": "1.0"}
    attention = row(tp_size="2.0", attention_dp_size="2.0", moe_tp_size="1.0", moe_ep_size="4.0")
    found = read(both, spread, attention)
    degrees = [(r.layout.chips, r.layout.tp, r.layout.dp, r.layout.ep, r.users) for r in found]
    assert degrees == [(8, 8, 1, 8, 64), (8, 1, 8, 8, 64), (2, 1, 2, 2, 64)]


def test_rows_of_others_are_taken_as_they_are(read):
    [found] = read(row(silicon_data_source=OWN, tp_size="8.0", attention_dp_size="",
                       moe_tp_size="1.0", moe_ep_size="8.0"))  # fmt: skip
    assert (found.layout.tp, found.layout.dp, found.layout.ep) == (8, 1, 8)
    assert not found.ranged


def test_other_modes_and_chips_that_are_judged_unseen_are_left_out(read):
    assert read(row(mode="disagg"), row(system="h200_sxm")) == []
