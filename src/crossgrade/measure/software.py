"""Which facts of an environment are software: an anchor may change with them, and not only with
the machine. Must not know measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from crossgrade.values.comparison import Difference

Environment = Mapping[str, str]
"""Fact by name, as `crossgrade.environment.fingerprint` gives it; those of a target are called
`TARGET NAME`."""
MACHINE: Final = frozenset({
    "platform", "kernel", "machine", "cpu", "cpus", "governor", "turbo_off", "hypervisor",
    "container",
})  # fmt: skip
"""Facts of the machine."""
_DEVICE: Final = ("device", "uuid")
"""How names of facts begin that say which device a target is."""


def differences(before: Environment, after: Environment) -> tuple[Difference, ...]:
    """Return facts that are not the same, by name."""
    return tuple(
        Difference(key=key, before=str(before.get(key, "")), after=str(after.get(key, "")))
        for key in sorted({*before, *after})
        if str(before.get(key, "")) != str(after.get(key, ""))
    )


def is_software(key: str) -> bool:
    """Return whether a fact is one of software or its settings: all but machine and device."""
    return key not in MACHINE and not key.rpartition(" ")[2].startswith(_DEVICE)


def without_targets(environment: Environment) -> dict[str, str]:
    """Return the facts that are not of a target."""
    return {key: value for key, value in environment.items() if " " not in key}
