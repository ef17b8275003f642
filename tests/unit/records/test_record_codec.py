"""Records: written whole, read back, refused when changed, from the future, or broken."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.errors import BadRecord, FutureSchema
from crossgrade.records.codec import dump, load, seal, to_json
from crossgrade.records.store import default_folder
from crossgrade.values.record import RECORD_SCHEMA, Record

EARLIER = Path(__file__).parents[2] / "data" / "records"

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def record(data) -> Record:
    return Record(kind="assessment", created="2026-11-23T00:00:00+00:00", passed={"model": "m"},
                  resolved={}, environment={}, verdict="runs", data=to_json(data))  # fmt: skip


@given(st.dictionaries(st.text(), VALUES))
def test_what_is_written_is_read_back(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("r") / "a.json"
    sealed = seal(record(data))
    dump(sealed, path)
    assert load(path) == sealed


def test_a_changed_digit_is_refused(tmp_path):
    path = tmp_path / "a.json"
    dump(seal(record({"time_s": 1.25})), path)
    path.write_text(path.read_text().replace("1.25", "1.24"))
    with pytest.raises(BadRecord, match="changed"):
        load(path)


def test_a_record_from_the_future_is_refused_politely(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"schema": 99, "kind": "assessment", "new_field": 1}))
    with pytest.raises(FutureSchema, match="upgrade"):
        load(path)


def test_there_is_a_record_of_every_earlier_schema():
    found = {p.name for p in EARLIER.glob("*.json")}
    assert found == {f"schema-{n}.json" for n in range(1, RECORD_SCHEMA)}


def test_a_record_of_schema_1_is_read_in_the_newest_layout(tmp_path):
    old = json.loads((EARLIER / "schema-1.json").read_text())
    read = load(EARLIER / "schema-1.json")
    assert read.schema == RECORD_SCHEMA
    before = old["data"]["chips"][0]["phases"][0]["memory"]
    after = read.data["chips"][0]["phases"][0]["memory"]
    assert after["peak_eager"] == before["peak"]
    assert after["activations_eager"] == before["activations"]
    assert after["peak_fused"] is None
    assert after["weights"] == before["weights"]
    dump(read, tmp_path / "new.json")
    assert load(tmp_path / "new.json") == read


def test_a_record_of_schema_2_is_read_in_the_newest_layout(tmp_path):
    old = json.loads((EARLIER / "schema-2.json").read_text())["data"]
    read = load(EARLIER / "schema-2.json")
    (chip,) = read.data["chips"]
    before = old["chips"][0]["constants"][0]
    after = chip["constants"][0]
    assert [after["name"], after["value"], after["unit"], after["source"]] == before
    assert [a["name"] for a in read.data["assumptions"]] == [a[0] for a in old["assumptions"]]
    assert chip["phases"][0]["speed"]["fused"] is None
    assert read.data["timelines"] == []
    dump(read, tmp_path / "new.json")
    assert load(tmp_path / "new.json") == read


def test_a_record_of_schema_3_is_read_in_the_newest_layout(tmp_path):
    old = json.loads((EARLIER / "schema-3.json").read_text())
    read = load(EARLIER / "schema-3.json")
    assert (read.schema, read.kind) == (RECORD_SCHEMA, "assessment")
    assert read.data == old["data"]


def test_a_changed_record_of_an_earlier_schema_is_refused(tmp_path):
    text = (EARLIER / "schema-1.json").read_text()
    path = tmp_path / "a.json"
    path.write_text(text.replace('"verdict": "runs', '"verdict": "blocked', 1))
    with pytest.raises(BadRecord, match="changed"):
        load(path)


def test_an_earlier_schema_without_its_contents_is_refused(tmp_path):
    broken = dataclasses.replace(record({"chips": [{"phases": [{}]}]}), schema=1)
    path = tmp_path / "a.json"
    dump(seal(broken), path)
    with pytest.raises(BadRecord, match="schema 1"):
        load(path)


@pytest.mark.parametrize("text", [
    "", "{", "[]", '{"schema": 1}', '{"schema": "x"}', "\x00", '{"schema": 1e999}',
    '{"schema": NaN}', '{"schema": 4.5}', '{"schema": true}', "[" * 100_000,
])  # fmt: skip
def test_what_is_no_record_is_refused(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(BadRecord):
        load(path)


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "a.json"
    dump(seal(record({"time_s": 1.25})), path)
    # The digest is right for readers that take the last one; people may read the first.
    path.write_text(path.read_text().replace('"time_s": 1.25', '"time_s": 1.0, "time_s": 1.25'))
    with pytest.raises(BadRecord, match="the key 'time_s' is there twice"):
        load(path)


def test_what_utf_8_cannot_say_is_refused(tmp_path):
    path = tmp_path / "a.json"
    dump(seal(record({"name": "x"})), path)
    path.write_text(path.read_text().replace('"x"', '"\\ud800"'))
    with pytest.raises(BadRecord, match="is not a record"):
        load(path)


def test_numbers_that_json_lacks_are_written_as_words():
    assert to_json([math.nan, math.inf, -math.inf]) == ["NaN", "Infinity", "-Infinity"]


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    sealed = dataclasses.replace(seal(record({})), data={"x": object()})
    with pytest.raises(TypeError):
        dump(sealed, tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_follows_the_environment(tmp_path):
    assert default_folder({"CROSSGRADE_HOME": "/x"}).as_posix() == "/x/records"
    assert default_folder({"XDG_DATA_HOME": "/y"}).as_posix() == "/y/crossgrade/records"
