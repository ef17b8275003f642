"""Sizes as a user writes them."""

from __future__ import annotations

import pytest

from crossgrade.api.comm_sizes import SIZES, sizes_of
from crossgrade.errors import BadOption


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("1024", (1024,)),
        ("1KB", (1000,)),
        ("1KiB", (1024,)),
        (" 2 MiB , 1kb,1 KB", (1000, 2 << 20)),
        ("1KiB..64KiB", (1024, 4096, 16384, 65536)),
        ("1KiB..100KiB", (1024, 4096, 16384, 65536, 102400)),
        ("1KiB..8KiB:2", (1024, 2048, 4096, 8192)),
        ("4KiB..4KiB", (4096,)),
        ("1.5KB", (1500,)),
        ("1KiB..4KiB,1GB", (1024, 4096, 10**9)),
    ],
)
def test_sizes(text, sizes):
    assert sizes_of(text) == sizes


def test_what_is_measured_without_a_choice():
    assert sizes_of(SIZES) == tuple(4**k * 1024 for k in range(9))


@pytest.mark.parametrize(
    "text",
    ["", ",", "..", "1..", "..2", "1K", "0", "-1", "1e9", "1 2", "9" * 15 + "GB", "1KiB..2KiB:x",
     "1KiB..2KiB:nan", "1KiB..2KiB:", "2..1", "½", "1..1000000000000:1.2"],
)  # fmt: skip
def test_what_is_no_size(text):
    with pytest.raises(BadOption, match="--sizes") as refused:
        sizes_of(text)
    assert refused.value.hint
