"""Shared fixtures: small models that capture in a second."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")


@pytest.fixture(scope="session", autouse=True)
def records_elsewhere(tmp_path_factory):
    """Keep the records of tests out of the user's folder."""
    os.environ["CROSSGRADE_HOME"] = str(tmp_path_factory.mktemp("home"))


def small_config(preset: str, **changes) -> dict:
    """Return a shipped configuration with fewer layers."""
    from crossgrade.workloads.resolve import find_model

    config = find_model(preset).config
    assert config is not None
    return config | {"num_hidden_layers": 2} | changes


@pytest.fixture(scope="session")
def dense_config(tmp_path_factory) -> Path:
    """Return the path of a two-layer Qwen3 config.json."""
    folder = tmp_path_factory.mktemp("dense")
    config = small_config("qwen3-0.6b", max_window_layers=2, layer_types=["full_attention"] * 2)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def moe_config(tmp_path_factory) -> Path:
    """Return the path of a two-layer Mixtral config.json with 8 experts."""
    folder = tmp_path_factory.mktemp("moe")
    (folder / "config.json").write_text(json.dumps(small_config("mixtral-8x7b-v0.1")))
    return folder


def capture_of(path: Path, phase: str, **sizes):
    """Return the prepared capture of a configuration."""
    from crossgrade.capture.run import CaptureSession
    from crossgrade.predict.phase import prepare
    from crossgrade.values.workload import Workload
    from crossgrade.workloads.resolve import find_model

    found = find_model(str(path))
    session = CaptureSession(found.build(None))
    sizes = {"batch": 1, "tokens": 32, "context": 0} | sizes
    return prepare(session.capture(Workload(model=found.ref, phase=phase, dtype=None, **sizes)))


@pytest.fixture(scope="session")
def moe_train(moe_config):
    """Return one training step of the two-layer MoE."""
    return capture_of(moe_config, "train")


@pytest.fixture(scope="session")
def moe_decode(moe_config):
    """Return one decode step of the two-layer MoE."""
    return capture_of(moe_config, "decode", tokens=1, context=64)
