"""A bad chip file is refused with the file, the key and a remedy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.chips.loader import chip_from_toml
from crossgrade.errors import BadChipFile, FutureSchema

GOOD = """
schema = 1
name = "toy-1"
title = "Toy 1"
aliases = ["toy"]
vendor = "Toys"
origin = "NL"
scope = "die"
available = "2026-Q1"
available_source = "sheet"
op_table = "npu"
architecture = "toy"
notes = ["Nothing is known of its power."]
memory_capacity = { value = 64e9, unit = "byte", source = "sheet" }
clock = { value = 1.5e9, unit = "Hz", scope = "die", source = "sheet", note = "boost" }

[[peaks]]
engine = "matrix"
precision = "bf16"
density = "dense"
rate = { value = 100e12, unit = "FLOP/s", source = "sheet" }

[[buffers]]
name = "L2"
per = "chip"
capacity = { value = 1048576, unit = "byte", source = "sheet" }

[[links]]
name = "Wire"
level = "scale-up"
domain = 8
bandwidth = { value = 50e9, unit = "byte/s", source = "sheet" }

[[numerics]]
id = "odd"
title = "rounds oddly"
applies_to = "fp64"
severity = "note"
hint = "do not"
source = "sheet"

[[disagreements]]
constant = "peaks[matrix/bf16]"
value = 120e12
unit = "FLOP/s"
source = "sheet"
note = "page 2"

[[sources]]
id = "sheet"
title = "Data sheet"
url = "https://example.org/sheet"
date = "2026-01-31"
"""

RATE = 'rate = { value = 100e12, unit = "FLOP/s", source = "sheet" }'
PEAK = GOOD[GOOD.index("[[peaks]]") : GOOD.index("[[buffers]]")]


def bad(old: str, new: str) -> BadChipFile:
    assert old in GOOD
    with pytest.raises(BadChipFile) as caught:
        chip_from_toml(GOOD.replace(old, new, 1))
    error = caught.value
    assert error.code == "CG-E204"
    assert error.where.startswith("<text>")
    return error


def test_the_good_file_maps_to_the_value():
    chip = chip_from_toml(GOOD)
    assert (chip.name, chip.aliases, chip.scope, chip.available) == (
        "toy-1",
        ("toy",),
        "die",
        "2026-Q1",
    )
    assert chip.clock.note == "boost"
    assert chip.memory_capacity.scope == "die"
    assert chip.power is None
    assert chip.soc is None
    assert chip.links[0].domain == 8
    assert chip.sources[0].note == ""
    [entry] = chip.disagreements
    assert (entry.constant, entry.other.value) == ("peaks[matrix/bf16]", 120e12)
    assert (entry.other.scope, entry.other.note) == ("die", "page 2")


@pytest.mark.parametrize(
    ("old", "new", "message", "where", "hint"),
    [
        ('vendor = "Toys"', 'vendor = "Toys"\nvender = "x"', "unknown key", "vender", "`vendor`"),
        ('per = "chip"', 'per = "chip"\nxyz = 1', "unknown key", "buffers[0].xyz", "known keys"),
        ('vendor = "Toys"\n', "", "is missing", "vendor", "chips.md"),
        ('title = "Toy 1"', 'title = ""', "non-empty string", "title", ""),
        ('title = "Toy 1"', "title = 3", "non-empty string", "title", ""),
        ('aliases = ["toy"]', 'aliases = "toy"', "list of non-empty strings", "aliases", ""),
        ('aliases = ["toy"]', 'aliases = ["Toy_1"]', "not a chip name", "name", "hyphens"),
        ('aliases = ["toy"]', 'aliases = ["toy-1"]', "repeats the name", "aliases", ""),
        ('origin = "NL"', 'origin = "Holland"', "ISO 3166", "origin", ""),
        ('"2026-Q1"', '"soon"', "is no date", "available", "2026-Q4"),
        ('available_source = "sheet"\n', "", "go together", "available_source", ""),
        (', source = "sheet" }\nclock', " }\nclock", "no source", "memory_capacity.source", "id"),
        ('source = "sheet" }\nclock', 'source = "shet" }\nclock', "not defined", "memory", "sheet"),
        ('unit = "byte", source', 'unit = "GB", source', "must be `byte`", "capacity.unit", "SI"),
        ('unit = "FLOP/s"', 'unit = "TFLOP/s"', "must be `FLOP/s`", "peaks[0].rate.unit", "SI"),
        ('density = "dense"', 'density = "sparse"', "only `dense`", "peaks[0].density", "half"),
        ('density = "dense"\n', "", "is missing", "peaks[0].density", ""),
        ("value = 100e12", "value = -1.0", "above zero", "peaks[0].rate.value", "leave"),
        ("value = 100e12", "value = 0", "above zero", "peaks[0].rate.value", "leave"),
        ("value = 100e12", "value = nan", "above zero", "peaks[0].rate.value", "leave"),
        ("value = 100e12", "value = inf", "above zero", "peaks[0].rate.value", "leave"),
        ("value = 100e12", "value = true", "must be a number", "peaks[0].rate.value", ""),
        ("value = 100e12, ", "", "is missing", "peaks[0].rate.value", "left out"),
        ('scope = "die", source', 'scope = "package", source', "for a package", "clock.scope", ""),
        ('scope = "die"\n', 'scope = "chip"\n', "unknown scope", "scope", "one of"),
        ('"bf16"', '"bf61"', "unknown precision", "peaks[0].precision", "`bf16`"),
        ('"matrix"', '"cube"', "unknown engine", "peaks[0].engine", "matrix, vector"),
        ('"scale-up"', '"sideways"', "unknown level", "links[0].level", "scale-up"),
        ("domain = 8", "domain = 2.5", "whole number", "links[0].domain", ""),
        ('"fp64"', '"fp46"', "unknown applies_to", "numerics[0].applies_to", "`fp64`"),
        ('severity = "note"', 'severity = "fatal"', "unknown severity", "numerics[0]", "warning"),
        ('"https://example.org/sheet"', '"/tmp/x"', "public address", "sources[0].url", "https"),
        ('"2026-01-31"', '"January"', "has date", "sources", "ISO"),
        ("peaks[matrix/bf16]", "peaks[matrix/bf61]", "no constant", "disagreements", "bf16"),
        ("peaks[matrix/bf16]", "power", "no constant `power`", "disagreements", "one"),
        ("value = 120e12", "value = 100e12", "value equals", "disagreements[0].value", "agree"),
        ('120e12\nunit = "FLOP/s"', '120e12\nunit = "byte"', "in `FLOP/s`", "disagreements", "SI"),
        ('source = "sheet"\nnote', 'source = "shet"\nnote', "not defined", "disagree", "sheet"),
        (PEAK, PEAK + PEAK, "`matrix/bf16` twice", "peaks", "keep one"),
        ("[[peaks]]", "[peaks]", "array of tables", "peaks", "[[peaks]]"),
        (RATE, "rate = 1e14", "must be a table", "peaks[0].rate", "value"),
    ],
)  # fmt: skip
def test_bad_files(old, new, message, where, hint):
    error = bad(old, new)
    assert message in error.message
    assert where in error.where
    assert hint in error.hint


def test_missing_schema():
    error = bad("schema = 1", "")
    assert "schema = 1" in error.hint


def test_schema_from_the_future_is_refused_politely():
    with pytest.raises(FutureSchema, match="schema 2"):
        chip_from_toml(GOOD.replace("schema = 1", "schema = 2"))


def test_source_defined_twice():
    sources = GOOD[GOOD.index("[[sources]]") :]
    with pytest.raises(BadChipFile, match="`sheet` twice"):
        chip_from_toml(GOOD + sources)


@given(st.floats(min_value=1e-3, max_value=1e20))
def test_every_positive_value_is_kept_exactly(value):
    chip = chip_from_toml(GOOD.replace("value = 100e12", f"value = {value!r}"))
    assert chip.peaks[0].rate.value == value


@given(st.text(max_size=40))
def test_arbitrary_text_is_refused_and_never_crashes(text):
    with pytest.raises((BadChipFile, FutureSchema)):
        chip_from_toml(text + "\n")
