"""Traces: the shipped ones, the two forms, and files that are neither."""

import json

import pytest

from crossgrade.errors import BadOption, BadTrace
from crossgrade.serving.traces import LONGEST_LINE, SHIPPED, read_trace

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
ROW = "2023-11-16 18:17:03.9799600,4808,10\n"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_traces_are_whole(name):
    trace = read_trace(name)
    assert trace.name == name
    assert len(trace.offsets_s) == len(trace.input_tokens) == len(trace.output_tokens) == 500
    assert trace.offsets_s[0] == 0
    assert list(trace.offsets_s) == sorted(trace.offsets_s)
    assert 100 < trace.offsets_s[-1] < 300


def test_azure_form(tmp_path):
    file = tmp_path / "calls.csv"
    file.write_bytes(
        b"\xef\xbb\xbfTIMESTAMP,User,ContextTokens,GeneratedTokens\r\n"
        b"2023-11-16 18:17:04.0319600,a,3180,8\r\n"
        b'2023-11-16 18:17:03.9799600,"b,c",4808,10\r\n\r\n'
        b"2023-11-16 18:17:05.9799600+00:00,d,1,2"
    )
    trace = read_trace(str(file))
    assert trace.name == "calls"
    assert trace.offsets_s == pytest.approx((0, 0.052, 2.0), abs=1e-6)
    assert trace.input_tokens == (4808, 3180, 1)
    assert trace.output_tokens == (10, 8, 2)


def test_mooncake_form_is_sorted_without_loss(tmp_path):
    rows = [(3000, 5), (0, 1), (3000, 6), (1500.5, 2)]
    file = tmp_path / "calls.jsonl"
    file.write_text("\n".join(
        json.dumps({"timestamp": at, "input_length": tokens, "output_length": 7, "hash_ids": [1]})
        for at, tokens in rows
    ))  # fmt: skip
    trace = read_trace(str(file))
    assert trace.offsets_s == (0.0, 1.5005, 3.0, 3.0)
    assert trace.input_tokens == (1, 2, 5, 6)


def mooncake(**changes) -> str:
    good = {"timestamp": 0, "input_length": 5, "output_length": 7}
    return json.dumps(good) + "\n" + json.dumps(good | changes) + "\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        (AZURE, "no requests"),
        ("a,b\n1,2\n", "line 1: no column TIMESTAMP, ContextTokens, GeneratedTokens"),
        (AZURE + ROW + "2023-11-16 18:17:03,many,1\n", "line 3: ContextTokens `many` is no number"),
        (AZURE + "2023-11-16 18:17:03,1,-1\n", "line 2: GeneratedTokens `-1`"),
        (AZURE + "2023-11-16 18:17:03,1,0\n", "line 2: GeneratedTokens `0`"),
        (AZURE + "2023-11-16 18:17:03,1.5,1\n", "line 2: ContextTokens `1.5`"),
        (AZURE + "2023-11-16 18:17:03,NaN,1\n", "line 2: ContextTokens `NaN`"),
        (AZURE + "2023-11-16 18:17:03,²,1\n", "line 2: ContextTokens `²`"),
        (AZURE + "yesterday,1,1\n", "line 2: TIMESTAMP `yesterday`"),
        (AZURE + ROW + "2023-11-16 18:17:03,1\n", "line 3: 2 fields"),
        (AZURE + ROW + "2023-11-16 18:17:03," + "9" * 5000 + ",1\n", "line 3: ContextTokens"),
        (mooncake(timestamp=-1), "line 2: timestamp `-1`"),
        (mooncake(timestamp=float("nan")), "line 2: timestamp `nan`"),
        (mooncake(timestamp="0"), "line 2: timestamp"),
        (mooncake(timestamp=10**400), "line 2: timestamp"),
        (mooncake(timestamp=True), "line 2: timestamp `True`"),
        (mooncake(input_length=1.5), "line 2: input_length `1.5`"),
        (mooncake(output_length=None), "line 2: output_length `None`"),
        (mooncake(output_length=10**30), "line 2: output_length"),
        ('{"timestamp": 0}\n', "line 1: no `input_length`, `output_length`"),
        (mooncake() + "{\n", "line 3: it is no JSON"),
        (mooncake() + "[1]\n", "line 3: it is no JSON object"),
        (mooncake() + "[" * 100_000 + "\n", "line 3: it is no JSON"),
        (mooncake() + '{"timestamp": ' + "9" * 5000 + "}\n", "line 3: it is no JSON"),
        (AZURE + "x" * (LONGEST_LINE + 5), "line 2: it is longer than"),
        (b"\x7fELF\0\0", "line 1: it holds a zero byte"),
        (AZURE.encode() + b"\xff\xfe\n", "line 2: it is no UTF-8"),
    ],
)  # fmt: skip
def test_bad_files_are_told_with_file_line_and_what(tmp_path, content, says):
    file = tmp_path / "calls.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadTrace) as caught:
        read_trace(str(file))
    assert "'calls.csv'" in caught.value.message
    assert says in caught.value.message
    assert len(caught.value.message) < 250


def test_unknown_names_and_folders(tmp_path):
    with pytest.raises(BadOption, match="azure-conv, mooncake-conversation"):
        read_trace("azure")
    with pytest.raises(BadTrace, match="cannot be read"):
        read_trace(str(tmp_path))
    with pytest.raises(BadOption):
        read_trace("x" * 5000)
    with pytest.raises(BadOption):
        read_trace("a\0b")
