"""Sensors that the system offers as files. Must not know which."""

from __future__ import annotations

from pathlib import Path

from crossgrade.targets.energy.meter import CannotRead


def number_in(path: Path) -> float:
    """Return the number in a file of the system.

    Raises:
        CannotRead: it is not there, may not be read, or holds no number.
    """
    text = text_in(path)
    try:
        return float(text)
    except ValueError as error:
        raise CannotRead("error", f"{path} holds `{text[:40]}`, no number") from error


def text_in(path: Path) -> str:
    """Return what stands in a file of the system.

    Raises:
        CannotRead: it is not there, or may not be read.
    """
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError as error:
        raise CannotRead("no-sensor", f"there is no {path}") from error
    except PermissionError as error:
        detail = f"only its owner may read {path}; `sudo chmod a+r {path}` holds until a reboot"
        raise CannotRead("not-permitted", detail) from error
    except OSError as error:
        raise CannotRead("error", f"{path}: {error.strerror or error}") from error
