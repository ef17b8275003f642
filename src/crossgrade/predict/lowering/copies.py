"""Read data where it lies: copies that only repeat or join it for matrix kernels are not launched.

Grouped-query attention repeats keys and values per query head, and caches are joined with a window
or with rotary parts; a fused kernel reads the pieces. Must not know models or chips.
"""

from __future__ import annotations

from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.values.capture import Capture

_REPEATS = frozenset({"clone", "repeat"})
"""Operators that copy without changing the dtype."""
_LEAST_REPEAT = 1.5
"""A repeating copy writes at least so many times what it reads; others change the layout."""


def without_copies(
    kernels: list[Kernel], capture: Capture, until: list[int]
) -> tuple[list[Kernel], dict[int, tuple[int, ...]]]:
    """Return kernels without such copies, and what is read in place of each storage that went.

    Args:
        kernels: one kernel per call, in order; those that read a copy are changed.
        capture: where they come from.
        until: per storage the last call that needs it; brought up to date.
    """
    copies = _Copies(kernels, capture, until)
    for s in copies.last_made_first():
        copies.try_without(s)
    left = [kernel for kernel in kernels if id(kernel) not in copies.gone]
    return left, _resolved(copies.moved)


class _Copies:
    """Who writes and reads each storage, and what is read elsewhere by now."""

    def __init__(self, kernels: list[Kernel], capture: Capture, until: list[int]) -> None:
        self._until = until
        self._sizes = capture.columns["storage_bytes"].tolist()
        self._place = {id(kernel): i for i, kernel in enumerate(kernels)}
        self._readers: dict[int, list[Kernel]] = {}
        self._writers: dict[int, list[Kernel]] = {}
        for kernel in kernels:
            for s in _sources(kernel):
                self._readers.setdefault(s, []).append(kernel)
            for s in kernel.writes:
                self._writers.setdefault(s, []).append(kernel)
        self.gone: set[int] = set()
        self.moved: dict[int, tuple[int, ...]] = {}

    def last_made_first(self) -> list[int]:
        """Return storages, the last written first: of a copy of a copy the later one goes first."""
        return sorted(self._writers, key=lambda s: -self._place[id(self._writers[s][-1])])

    def try_without(self, s: int) -> None:
        """Let the users of a storage read its sources, if that is the same."""
        writers = self._writers[s]
        users = [k for k in self._readers.get(s, ()) if id(k) not in self.gone]
        if not users or not all(user.kind in ("matmul", "attention") for user in users):
            return
        repeats = len(writers) == 1 and self._repeats(writers[0])
        joins = self._joins(s, writers) and not any(user.reads_parameter for user in users)
        if not (repeats or joins) or not self._unchanged(s, writers, users):
            return
        written = sum(sum(w.writes.values()) for w in writers)
        for writer in writers:
            self.gone.add(id(writer))
            for source, size in _sources(writer).items():
                self.moved[s] = (*self.moved.get(s, ()), source)
                for user in users:
                    # A user may read a slice of the copy: it then reads that slice of the source.
                    share = min(user.reads[s] / max(written, 1.0), 1.0)
                    user.reads[source] = max(user.reads.get(source, 0.0), size * share)
                    self._readers.setdefault(source, []).append(user)
                    self._until[source] = max(self._until[source], user.calls[-1])
        for user in users:
            user.reads.pop(s, None)

    def _repeats(self, kernel: Kernel) -> bool:
        """Return whether a kernel writes one tensor several times over."""
        sizes = list(_sources(kernel).values())
        return (
            kernel.label in _REPEATS
            and len(sizes) == 1
            and sum(kernel.writes.values()) >= _LEAST_REPEAT * sizes[0]
        )

    def _joins(self, s: int, writers: list[Kernel]) -> bool:
        """Return whether a storage is nothing but pieces of others, and all of it is."""
        if len(writers) == 1 and writers[0].label == "cat":
            return len(_sources(writers[0])) > 1
        single = all(w.label == "copy_" and len(_sources(w)) == 1 for w in writers)
        return single and sum(w.writes[s] for w in writers) >= self._sizes[s]

    def _unchanged(self, s: int, writers: list[Kernel], users: list[Kernel]) -> bool:
        """Return whether sources still are at every user what they were at the copy."""
        places = [self._place[id(w)] for w in writers]
        used = [self._place[id(u)] for u in users]
        if min(used) < max(places) or self._until[s] > max(u.calls[-1] for u in users):
            return False
        return not any(
            place < self._place[id(later)] <= max(used)
            for writer, place in zip(writers, places, strict=True)
            for source in _sources(writer)
            for later in self._writers.get(source, ())
        )


def _sources(kernel: Kernel) -> dict[int, float]:
    """Return what a kernel reads; a tensor that it only writes is named there with no bytes."""
    return {s: size for s, size in kernel.reads.items() if size > 0 or s not in kernel.writes}


def _resolved(moved: dict[int, tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    """Return storages that are read in place of others, through copies of copies."""

    def sources(s: int) -> tuple[int, ...]:
        return tuple(dict.fromkeys(m for t in moved[s] for m in sources(t))) if s in moved else (s,)

    return {s: sources(s) for s in moved}
