"""Vendors' command-line tools as sensors: found once, run with a limit, asked in plain English.

Must not know any tool.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from crossgrade.targets.energy.meter import CannotRead, Place

LIMIT_S: Final = 10.0
"""A tool that takes longer is given up, s."""
POLL_S: Final = 0.2
"""Time between two runs of a tool, s: a run takes a part of a core for tens of milliseconds."""
_FOLDERS: Final = ("usr/local/sbin", "usr/local/bin", "opt/rocm/bin")
"""Where vendors install tools, beside the search path."""
_DENIED: Final = re.compile(r"permission|not permitted|privilege|\broot\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program that was found."""

    path: str
    """Where it is."""
    env: dict[str, str]
    """Environment that it runs in."""

    def output(self, arguments: Sequence[str]) -> str:
        """Return what it prints.

        Raises:
            CannotRead: it fails, or takes longer than the limit.
        """
        line = " ".join((os.path.basename(self.path), *arguments))
        try:
            done = subprocess.run(
                [self.path, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=self.env,
                timeout=LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CannotRead("error", f"`{line}` took longer than {LIMIT_S:g} s") from error
        except OSError as error:
            raise CannotRead("error", f"`{line}`: {error.strerror or error}") from error
        text = done.stdout.decode(errors="replace")
        if done.returncode:
            said = " ".join((done.stderr.decode(errors="replace") or text).split())[:160]
            detail = f"`{line}` ended with {done.returncode}: {said}"
            raise CannotRead("not-permitted" if _DENIED.search(said) else "error", detail)
        return text


def find_tool(name: str, place: Place) -> Tool:
    """Return a tool on the search path or in a folder of vendors.

    Raises:
        CannotRead: it is not there.
    """
    folders = (place.env.get("PATH", ""), *(str(place.root / f) for f in _FOLDERS))
    path = shutil.which(name, path=os.pathsep.join(filter(None, folders)))
    if path is None:
        raise CannotRead("no-sensor", f"{name} is not on the search path")
    # Words are read from the output, so it must be in the language that they are known in.
    return Tool(path=path, env={**place.env, "LC_ALL": "C"})
