"""Which device of the machine a process means by an index. Must not know any vendor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crossgrade.targets.energy.meter import CannotRead


def machine_index(index: int, env: Mapping[str, str], variables: Sequence[str]) -> int:
    """Return the index on the machine of what this process calls `index`.

    Args:
        index: index among the devices that the process may see.
        env: environment.
        variables: variables that list the visible devices, the one that the program sees first
            before the one that the layer below it sees.

    Raises:
        CannotRead: a list does not name the device by a whole number.
    """
    for name in variables:
        listed = [word.strip() for word in env.get(name, "").split(",") if word.strip()]
        if not listed:
            continue
        word = listed[index] if index < len(listed) else ""
        if not word.isdigit():
            detail = f"{name}={env[name]} does not name device {index} by a whole number"
            raise CannotRead("no-sensor", detail)
        index = int(word)
    return index
