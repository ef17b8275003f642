"""A hint gives the value in the unit of the schema, or says nothing about it."""

import pytest

from crossgrade.chips.convert import conversion_hint


@pytest.mark.parametrize(
    ("value", "unit", "wanted", "expected"),
    [
        (989, "TFLOPS", "FLOP/s", 989e12),
        (2.25, "PFLOP/s", "FLOP/s", 2.25e15),
        (624, "TOPS", "FLOP/s", 624e12),
        (80, "GB", "byte", 80e9),
        (80, "GiB", "byte", 80 * 2**30),
        (192, "KiB", "byte", 192 * 1024),
        (3.35, "TB/s", "byte/s", 3.35e12),
        (900, "GBps", "byte/s", 900e9),
        (819, "GiB/s", "byte/s", 819 * 2**30),
        (400, "Gbit/s", "byte/s", 50e9),
        (400, "Gb/s", "byte/s", 50e9),
        (400, "Gbps", "byte/s", 50e9),
        (1.8, "GHz", "Hz", 1.8e9),
        (1800, "MHz", "Hz", 1.8e9),
        (1.4, "kW", "W", 1400),
        (108, "SM", "1", 108),
    ],
)
def test_known_units_are_converted(value, unit, wanted, expected):
    hint = conversion_hint(value, unit, wanted)
    written = float(hint.split("value = ")[1].split(",")[0])
    assert written == pytest.approx(expected, rel=1e-11)
    assert f'unit = "{wanted}"' in hint


@pytest.mark.parametrize(
    ("unit", "wanted"),
    [("parsec", "Hz"), ("GB", "byte/s"), ("TFLOPS", "byte"), ("Gb", "byte"), ("gbps", "byte/s")],
)
def test_what_is_unclear_is_not_converted(unit, wanted):
    assert conversion_hint(1.0, unit, wanted) == f"SI base units: `{wanted}`"
