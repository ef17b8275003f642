"""Capture files: the same capture comes back, anything else is refused politely."""

import contextlib
import io
import json
import random
import zipfile

import numpy as np
import pytest
from truthlib import captured, from_factory

from crossgrade.capture.codec import digest, load, save
from crossgrade.errors import BadRecord, FutureSchema
from crossgrade.values.capture import CAPTURE_SCHEMA, COLUMNS


@pytest.fixture(scope="module")
def capture():
    return captured(from_factory("perceptron"), "train")


@pytest.fixture(scope="module")
def whole(capture, tmp_path_factory):
    path = tmp_path_factory.mktemp("codec") / "c.capture"
    save(capture, path)
    return path


def rewritten(source, target, change):
    """Copy an archive with its members changed by `change(name, data)`."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return target


def header_changed(**fields):
    def change(name, data):
        return json.dumps(json.loads(data) | fields) if name == "capture.json" else data

    return change


def header_without(field):
    def change(name, data):
        if name != "capture.json":
            return data
        return json.dumps({k: v for k, v in json.loads(data).items() if k != field})

    return change


def test_round_trip(capture, whole):
    back = load(whole)
    assert digest(back) == digest(capture)
    assert (back.workload, back.notes) == (capture.workload, tuple(capture.notes))
    assert dict(back.tables) == dict(capture.tables)
    assert dict(back.environment) == dict(capture.environment)
    assert all((back.columns[n] == capture.columns[n]).all() for n in COLUMNS)


def test_equal_captures_give_equal_files(capture, whole, tmp_path):
    save(load(whole), tmp_path / "again.capture")
    assert (tmp_path / "again.capture").read_bytes() == whole.read_bytes()


def test_changed_byte_is_refused_or_changes_nothing(capture, whole, tmp_path):
    data, path = whole.read_bytes(), tmp_path / "c.capture"
    expected, rng = digest(capture), random.Random(0)
    for _ in range(200):
        changed, place = bytearray(data), rng.randrange(len(data))
        changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        with contextlib.suppress(BadRecord, FutureSchema):
            assert digest(load(path)) == expected, f"byte {place}"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_cut_file_is_refused(whole, tmp_path, share):
    data = whole.read_bytes()
    path = tmp_path / "cut.capture"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BadRecord, match="is not a capture"):
        load(path)


def test_changed_column_is_refused(whole, tmp_path):
    def change(name, data):
        if name != "call_module.npy":
            return data
        column = np.load(io.BytesIO(data))
        column[0] += 1
        buffer = io.BytesIO()
        np.save(buffer, column)
        return buffer.getvalue()

    with pytest.raises(BadRecord, match="was changed"):
        load(rewritten(whole, tmp_path / "c.capture", change))


def test_file_from_the_future_is_refused_politely(whole, tmp_path):
    path = rewritten(whole, tmp_path / "c.capture", header_changed(schema=CAPTURE_SCHEMA + 1))
    with pytest.raises(FutureSchema, match="reads up to") as caught:
        load(path)
    assert "upgrade" in caught.value.hint


@pytest.mark.parametrize(
    "field", ["schema", "workload", "environment", "tables", "notes", "digest"]
)
def test_header_without_a_field_is_refused(whole, tmp_path, field):
    with pytest.raises(BadRecord):
        load(rewritten(whole, tmp_path / "c.capture", header_without(field)))


@pytest.mark.parametrize("value", [None, [], "x", {"a": 1}, "not a number"])
@pytest.mark.parametrize("field", ["schema", "workload", "tables", "digest"])
def test_header_with_a_wrong_field_is_refused(whole, tmp_path, field, value):
    with pytest.raises(BadRecord):
        load(rewritten(whole, tmp_path / "c.capture", header_changed(**{field: value})))


@pytest.mark.parametrize("header", [b"[]", b"3", b'"text"', b"{", b"", b"[" * 100_000])
def test_wrong_header_is_refused(whole, tmp_path, header):
    def change(name, data):
        return header if name == "capture.json" else data

    with pytest.raises(BadRecord):
        load(rewritten(whole, tmp_path / "c.capture", change))


def test_column_that_is_missing_is_refused(whole, tmp_path):
    def change(name, data):
        return None if name == "call_key.npy" else data

    with pytest.raises(BadRecord, match="is not a capture"):
        load(rewritten(whole, tmp_path / "c.capture", change))


def test_pickle_in_the_archive_is_not_loaded(whole, tmp_path):
    marker = tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    def change(name, data):
        if name != "call_key.npy":
            return data
        buffer = io.BytesIO()
        np.save(buffer, np.array([Bomb()], dtype=object), allow_pickle=True)
        return buffer.getvalue()

    with pytest.raises(BadRecord, match="is not a capture"):
        load(rewritten(whole, tmp_path / "c.capture", change))
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04.", b"{}"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "c.capture"
    path.write_bytes(content)
    with pytest.raises(BadRecord) as caught:
        load(path)
    assert caught.value.hint


def test_missing_file_and_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.capture", tmp_path):
        with pytest.raises(BadRecord):
            load(path)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError, MemoryError])
def test_interrupted_save_leaves_nothing(capture, tmp_path, monkeypatch, failure):
    original, done = np.save, []

    def stop(*args, **kwargs):
        if len(done) == 5:
            raise failure
        done.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(np, "save", stop)
    with pytest.raises(failure):
        save(capture, tmp_path / "c.capture")
    assert list(tmp_path.iterdir()) == []


def test_interrupted_save_keeps_the_old_file(capture, tmp_path, monkeypatch):
    path = tmp_path / "c.capture"
    save(capture, path)
    before = path.read_bytes()
    monkeypatch.setattr(np, "save", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save(capture, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
