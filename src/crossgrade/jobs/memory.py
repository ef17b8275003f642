"""A limit on the private memory of this process. Must not know what runs under it.

Linux only (`RLIMIT_DATA`, which since Linux 4.7 counts every private writable mapping). Elsewhere
there is none, and `SUPPORTED` says so.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Final

SUPPORTED: Final = sys.platform == "linux"
"""Whether a limit can be set here."""


class MemoryLimit:
    """So many bytes above what the process holds when the limit is set; None: no limit.

    Mappings count when they are made, not when they are touched: stacks of threads count whole.
    """

    def __init__(self, memory_bytes: int | None) -> None:
        """Keep the size; nothing is set yet."""
        self._bytes = memory_bytes
        self._before: int | None = None

    def set(self) -> None:
        """Set it; without effect where it is not supported."""
        if self._bytes is None or sys.platform != "linux":
            return
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = private_bytes() + self._bytes
        limits = [v for v in (wanted, soft, hard) if v != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
        self._before = soft

    def lift(self) -> None:
        """Take it away, so that an end without memory can be reported."""
        if self._before is None or sys.platform != "linux":
            return
        import resource

        with contextlib.suppress(OSError, ValueError):
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (self._before, hard))
            self._before = None


def private_bytes() -> int:
    """Return the private writable memory of this process, bytes (measured); Linux only."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").split("\n"):
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
