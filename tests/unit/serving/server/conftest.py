"""One server of a small model for all tests of this folder: its start takes seconds."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers")
pytest.importorskip("uvicorn")

from tests.tiny_models import tiny_config

from crossgrade.serving.local import LocalOptions, LocalServer

sys.path.insert(0, str(Path(__file__).parent))


def folder_of(path: Path, **changes) -> Path:
    """Return a folder with a small configuration; untied, so that answers vary."""
    path.mkdir()
    config = tiny_config(tie_word_embeddings=False, eos_token_id=0) | changes
    (path / "config.json").write_text(json.dumps(config))
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Return a server of a small model with random values."""
    place = tmp_path_factory.mktemp("server")
    options = LocalOptions(
        model=str(folder_of(place / "small")), dtype="fp32", most_at_once=8, most_tokens=512,
        chunk=48,
    )  # fmt: skip
    with LocalServer(options, log=place / "log.jsonl") as running:
        yield running
