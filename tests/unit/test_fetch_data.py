"""`tools/fetch_data.py`: a file is brought whole and right, or not at all."""

from __future__ import annotations

import functools
import hashlib
import http.server
import importlib.util
import threading
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "fetch_data.py"


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("fetch_data", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def address(tmp_path):
    (tmp_path / "site" / "raw").mkdir(parents=True)
    (tmp_path / "site" / "raw" / "table.bin").write_bytes(b"rows")
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "site")
    )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/blob/table.bin"
    server.shutdown()
    server.server_close()


def entry(url: str, content: bytes) -> dict[str, str]:
    return {"file": "perf/table.bin", "url": url, "sha256": hashlib.sha256(content).hexdigest()}


def test_a_file_is_brought_once(tool, address, tmp_path, capsys):
    path = tmp_path / "data" / "perf" / "table.bin"
    assert tool.brought(entry(address, b"rows"), path)
    assert path.read_bytes() == b"rows"
    assert tool.brought(entry("http://127.0.0.1:1/gone", b"rows"), path)
    assert capsys.readouterr().out.splitlines() == ["perf/table.bin"]


def test_another_content_is_left_out(tool, address, tmp_path, capsys):
    path = tmp_path / "data" / "perf" / "table.bin"
    assert not tool.brought(entry(address, b"other"), path)
    assert not path.exists()
    assert "another content" in capsys.readouterr().err


def test_no_answer_is_told(tool, tmp_path, capsys):
    assert not tool.brought(entry("http://127.0.0.1:1/blob/x", b"rows"), tmp_path / "x")
    assert "perf/table.bin" in capsys.readouterr().err
