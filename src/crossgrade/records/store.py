"""Where records lie when the user names no folder. Must not know what they mean."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def default_folder(env: Mapping[str, str] = os.environ) -> Path:
    """Return `$CROSSGRADE_HOME/records`, else the folder for user data of the XDG rules."""
    if env.get("CROSSGRADE_HOME"):
        return Path(env["CROSSGRADE_HOME"]) / "records"
    base = env.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "crossgrade" / "records"
