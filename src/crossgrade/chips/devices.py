"""Which described chip a device is, by the name that its runtime reports: `devices.toml`.

Must not know any name; that is data.
"""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from crossgrade.chips.validate import Table, check_schema

FILE = Path(__file__).with_suffix(".toml")
"""The list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceName:
    """One name that a runtime gives a device, and the chip that is meant."""

    pattern: re.Pattern[str]
    """Covers the whole name."""
    chip: str
    """Name of the description."""
    example: str
    """The name as its source has it."""
    url: str
    """The source."""
    note: str
    """Which near names mean another part; empty: none is known."""


@functools.lru_cache(maxsize=1)
def device_names() -> tuple[DeviceName, ...]:
    """Return the list, in order.

    Raises:
        BadChipFile: an entry breaks the schema or names a source that is not there.
    """
    table = Table(data=tomllib.loads(FILE.read_text(encoding="utf-8")), file=FILE.name)
    check_schema(table)
    urls = {item.text("id"): item.text("url") for item in table.tables("sources")}
    return tuple(_device(item, urls) for item in table.tables("devices"))


def _device(item: Table, urls: dict[str, str]) -> DeviceName:
    item.only(("pattern", "chip", "example", "source", "note"))
    source = item.text("source")
    if source not in urls:
        item.fail(f"no source `{source}`", "source")
    return DeviceName(
        pattern=re.compile(item.text("pattern")),
        chip=item.text("chip"),
        example=item.text("example"),
        url=urls[source],
        note=item.optional_text("note") or "",
    )


def chip_of_device(name: str) -> str:
    """Return the chip that a device of that name is; empty where no source says so."""
    return next((d.chip for d in device_names() if d.pattern.fullmatch(name.strip())), "")
