"""The reader of streams: however the bytes are cut, the events are the same."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.serving.answers import NotTheProtocol, read_event
from crossgrade.serving.events import LONGEST_BYTES, EventReader, NotAStream


def all_of(*chunks: bytes) -> list[bytes]:
    reader = EventReader()
    return [data for chunk in chunks for data in reader.feed(chunk)]


pieces = st.sampled_from(
    [b"data: one", b"data:two", b"data", b"data: ", b": alive", b"id: 7", b"retry: 1",
     b"\xef\xbb\xbf", b"\n", b"\n\n", b"\r\n", b"\r\n\r\n", b"\r", b"\r\r", b"nonsense",
     b"data: \xc3\xa9"]
)  # fmt: skip


@given(st.lists(pieces, max_size=30).map(b"".join), st.lists(st.integers(0, 200), max_size=20))
def test_events_do_not_depend_on_how_the_bytes_are_cut(stream, cuts):
    cuts = [0, *sorted(cut for cut in cuts if cut <= len(stream)), len(stream)]
    cut = [stream[a:b] for a, b in itertools.pairwise(cuts)]
    assert all_of(*cut) == all_of(stream)
    assert all_of(*(stream[i : i + 1] for i in range(len(stream)))) == all_of(stream)


@given(st.lists(st.lists(st.text("abc :é", max_size=8), min_size=1, max_size=3), max_size=6),
       st.sampled_from(["\n", "\r", "\r\n"]))  # fmt: skip
def test_what_was_written_is_read(events, end):
    stream = "".join("".join(f"data: {line}{end}" for line in event) + end for event in events)
    assert all_of(stream.encode()) == ["\n".join(event).encode() for event in events]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b": comment\n\ndata: a\n\n", [b"a"]),
        (b"event: x\ndata:  a\n\n", [b" a"]),
        (b"data: a", []),
        (b"data: a\n", []),
        (b"data\n\n", [b""]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    ],
)
def test_known_streams(stream, expected):
    assert all_of(stream) == expected


def test_an_event_without_its_empty_line_is_kept_for_the_end():
    reader = EventReader()
    assert reader.feed(b"data: [DONE]\n") == []
    assert reader.close() == [b"[DONE]"]


@pytest.mark.parametrize("chunk", [b"x" * 65536, b"data: " + b"x" * 1000 + b"\n"])
def test_a_line_or_an_event_without_end_is_refused(chunk):
    with pytest.raises(NotAStream, match="longer than"):
        all_of(*[chunk] * (2 * LONGEST_BYTES // len(chunk)))


def test_text_of_both_interfaces():
    assert read_event(b'{"choices":[{"text":"a"}]}').text == "a"
    assert read_event(b'{"choices":[{"delta":{"content":"b"}}]}').text == "b"
    assert (
        read_event(b'{"choices":[{"delta":{"reasoning_content":"c","content":null}}]}').text == "c"
    )
    assert read_event(b'{"choices":[{"delta":{"reasoning":"d"}}]}').text == "d"
    assert (
        read_event(b'{"choices":[{"delta":{"reasoning":"d","reasoning_content":"d"}}]}').text == "d"
    )
    assert read_event(b'{"choices":[{"delta":{"role":"assistant"}}]}').text == ""
    assert read_event(b'{"choices":[]}').text == ""


def test_ends_numbers_and_errors():
    event = read_event(
        b'{"choices":[{"text":"","finish_reason":"length"}],'
        b'"usage":{"prompt_tokens":3,"completion_tokens":4}}'
    )
    assert (event.finished, event.input_tokens, event.output_tokens) == (True, 3, 4)
    assert read_event(b'{"error":{"message":"no"}}').error == "no"
    assert read_event(b'{"error":"no"}').error == "no"
    assert read_event(b'{"choices":[],"usage":null}').output_tokens is None


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"3", b"\xff", b"[" * 100_000,
        b'{"choices":3}', b'{"choices":[3]}', b'{"choices":[{"text":3}]}',
        b'{"choices":[{"delta":[]}]}', b'{"choices":[{"delta":{"content":{}}}]}',
        b'{"choices":[{"finish_reason":3}]}', b'{"choices":[],"usage":3}',
        b'{"choices":[],"usage":{"prompt_tokens":"3"}}',
        b'{"choices":[],"usage":{"completion_tokens":-1}}',
        b'{"choices":[],"usage":{"completion_tokens":true}}',
        b'{"choices":[],"usage":{"completion_tokens":' + b"9" * 5000 + b"}}",
    ],
)  # fmt: skip
def test_what_is_not_the_protocol_is_told(data):
    with pytest.raises(NotTheProtocol):
        read_event(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_refused(data):
    with contextlib.suppress(NotTheProtocol):
        read_event(data)
