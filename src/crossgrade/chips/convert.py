"""What a value in a customary unit is in the unit of the schema: for hints, never silently.

Must not know any chip.
"""

from __future__ import annotations

import re

_KIBI, _MEBI, _GIBI, _TEBI = 1024.0, 1024.0**2, 1024.0**3, 1024.0**4

# Upper case without blanks -> (factor, unit of the schema).
_UNITS: dict[str, tuple[float, str]] = {
    **{
        f"{prefix}{name}": (factor, "FLOP/s")
        for prefix, factor in (("", 1.0), ("G", 1e9), ("T", 1e12), ("P", 1e15), ("E", 1e18))
        for name in ("FLOPS", "FLOP/S", "FLOPS/S", "OPS", "OP/S", "OPS/S")
    },
    **{
        f"{prefix}{name}": (factor, unit)
        for prefix, factor in (
            ("", 1.0), ("K", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12),
            ("KI", _KIBI), ("MI", _MEBI), ("GI", _GIBI), ("TI", _TEBI),
        )
        for name, unit in (
            ("B", "byte"), ("BYTE", "byte"), ("BYTES", "byte"),
            ("B/S", "byte/s"), ("BYTE/S", "byte/s"), ("BYTES/S", "byte/s"), ("BPS", "byte/s"),
        )
    },
    **{
        f"{prefix}{name}": (factor / 8, "byte/s")
        for prefix, factor in (("G", 1e9), ("T", 1e12), ("M", 1e6))
        for name in ("BIT/S", "BITS/S", "BIT")
    },
    **{f"{p}HZ": (f, "Hz") for p, f in (("", 1.0), ("K", 1e3), ("M", 1e6), ("G", 1e9))},
    **{f"{p}W": (f, "W") for p, f in (("", 1.0), ("K", 1e3), ("M", 1e6))},
    **dict.fromkeys(("CORES", "CORE", "SM", "SMS", "CU", "CUS", "COUNT"), (1.0, "1")),
}  # fmt: skip

_BITS = {"Gb/s": 1e9, "Tb/s": 1e12, "Mb/s": 1e6, "Gbps": 1e9, "Tbps": 1e12, "Mbps": 1e6}
"""Rates in bits per second -> bits per second in one of them."""


def conversion_hint(value: float, unit: str, wanted: str) -> str:
    """Return what to write instead of `value` `unit`, or only the unit where that is unclear.

    Args:
        value: as written in the file.
        unit: as written in the file, such as `TFLOPS`, `GB/s`.
        wanted: unit of the schema, such as `byte/s`.
    """
    plain = "".join(unit.split())
    if re.search(r"b(ps|/s)?$", plain):
        # A small b is bits where the prefix is capital, and a guess elsewhere.
        factor, base = _BITS.get(plain, 0.0) / 8, "byte/s" if plain in _BITS else ""
    else:
        factor, base = _UNITS.get(plain.upper(), (0.0, ""))
    if base != wanted:
        return f"SI base units: `{wanted}`"
    return f'write value = {value * factor:.12g}, unit = "{wanted}": SI base units'
