"""OpenAI's protocol over real sockets: answers, streams, numbers of tokens, errors."""

from __future__ import annotations

import json
import socket

import pytest
from talk import CHAT, COMPLETIONS, ask, call, connection


@pytest.mark.parametrize("path", [COMPLETIONS, CHAT])
def test_a_stream_says_what_a_whole_answer_says(server, path):
    whole = ask(server, path)
    stream = ask(server, path, stream=True)
    choice = whole.said["choices"][0]
    text = choice["message"]["content"] if path == CHAT else choice["text"]
    assert "".join(stream.pieces) == text
    assert len(stream.pieces) == 8
    assert stream.events[-1] == "[DONE]"
    assert stream.events[-2]["choices"][0]["finish_reason"] == choice["finish_reason"] == "length"
    assert stream.headers["content-type"].startswith("text/event-stream")


def test_only_a_chat_opens_with_who_speaks(server):
    first = ask(server, CHAT, stream=True).events[0]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert ask(server, stream=True).events[0]["choices"][0]["text"]


def test_numbers_of_tokens_are_those_of_prompt_and_answer(server):
    usage = {"prompt_tokens": 5, "completion_tokens": 8, "total_tokens": 13}
    assert ask(server, prompt="five words in one prompt").said["usage"] == usage
    stream = ask(
        server, prompt=[1, 2, 3, 4, 5], stream=True, stream_options={"include_usage": True}
    )
    assert stream.events[-2]["usage"] == usage
    assert stream.events[-2]["choices"] == []
    assert all(event["usage"] is None for event in stream.events[:-2])
    assert all("usage" not in event for event in ask(server, stream=True).events[:-1])


def test_a_prompt_may_be_text_or_ids_alone_or_in_a_list(server):
    ways = ("w17 w4", ["w17 w4"], [17, 4], [[17, 4]])
    assert len({ask(server, prompt=way).said["choices"][0]["text"] for way in ways}) == 1


def test_an_answer_ends_where_the_model_ends_it_unless_told_not_to(server):
    """Token 0 ends an answer; draws reach it sooner or later."""
    for seed in range(100):
        asked = {"temperature": 100, "seed": seed, "max_tokens": 60, "stream": True}
        reply = ask(server, ignore_eos=False, stream_options={"include_usage": True}, **asked)
        if reply.events[-3]["choices"][0]["finish_reason"] == "stop":
            break
    # The token that ends it counts and has no text.
    assert reply.events[-2]["usage"]["completion_tokens"] == len(reply.pieces) + 1 < 60
    on = ask(server, ignore_eos=True, **asked).pieces
    assert len(on) == 60
    assert on[: len(reply.pieces)] == reply.pieces
    assert on[len(reply.pieces)] == " w0"


def test_draws_follow_the_seed(server):
    def drawn(seed):
        return ask(server, temperature=5, seed=seed).said["choices"][0]["text"]

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(5)}) == 5
    greedy = ask(server).said["choices"][0]["text"]
    assert ask(server, temperature=0.0001, seed=3).said["choices"][0]["text"] == greedy


def test_it_tells_what_it_is(server):
    assert call(server, "GET", "/health").said == {"status": "ok"}
    version = call(server, "GET", "/version").said
    assert version["server"] == "crossgrade"
    assert version["version"]
    assert server.facts.items() <= version.items()
    listed = call(server, "GET", "/v1/models").said["data"]
    assert [card["id"] for card in listed] == [server.model]
    assert call(server, "GET", f"/v1/models/{server.model}").said["max_model_len"] == 512


def test_a_request_keeps_its_name(server):
    assert ask(server, name="0-1-2").headers["x-request-id"] == "0-1-2"
    assert ask(server, name="bad name").headers["x-request-id"] not in ("", "bad name")


WRONG = {
    "no JSON": (b"{nothing", 400, "invalid_json"),
    "no object": (b"[1]", 400, "invalid_json"),
    "no text": (b"\xff\xfe", 400, "invalid_json"),
    "nested too deeply": (b'{"prompt":' + b"[" * 100_000, 400, "invalid_json"),
    "an endless number": (b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}", 400, "invalid_json"),
    "another model": ({"prompt": "a", "model": "gpt-9"}, 404, "model_not_found"),
    "a model that is a number": ({"prompt": "a", "model": 7}, 400, "invalid_type"),
    "no prompt": ({}, 400, "invalid_type"),
    "an empty prompt": ({"prompt": ""}, 400, "invalid_value"),
    "a prompt without ids": ({"prompt": []}, 400, "invalid_value"),
    "ids in text": ({"prompt": [1, "a"]}, 400, "invalid_type"),
    "an id that is true": ({"prompt": [True]}, 400, "invalid_type"),
    "an id beyond the vocabulary": ({"prompt": [256]}, 400, "invalid_value"),
    "two prompts": ({"prompt": ["a", "b"]}, 400, "unsupported_value"),
    "no tokens": ({"prompt": "a", "max_tokens": 0}, 400, "invalid_value"),
    "half a token": ({"prompt": "a", "max_tokens": 1.5}, 400, "invalid_type"),
    "too long": ({"prompt": "a", "max_tokens": 512}, 400, "context_length_exceeded"),
    "a prompt too long": ({"prompt": [1] * 600, "max_tokens": 1}, 400, "context_length_exceeded"),
    "warmth in words": ({"prompt": "a", "temperature": "hot"}, 400, "invalid_type"),
    "warmth of nothing": (b'{"prompt": "a", "temperature": NaN}', 400, "invalid_value"),
    "a stream in words": ({"prompt": "a", "stream": "yes"}, 400, "invalid_type"),
    "options of no stream": ({"prompt": "a", "stream_options": {}}, 400, "invalid_value"),
    "usage in words": (
        {"prompt": "a", "stream": True, "stream_options": {"include_usage": "1"}},
        400, "invalid_type",
    ),
    "stop words": ({"prompt": "a", "stop": ["x"]}, 400, "unsupported_value"),
    "several answers": ({"prompt": "a", "n": 2}, 400, "unsupported_value"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_answered_with_an_error_of_the_protocol(server, case):
    body, status, code = WRONG[case]
    reply = call(server, "POST", COMPLETIONS, body)
    assert (reply.status, reply.error["code"]) == (status, code)
    assert reply.error["message"]
    assert reply.error["type"] in ("invalid_request_error", "not_found_error")


_PICTURE = [{"role": "user", "content": [{"type": "image_url"}]}]


@pytest.mark.parametrize("messages", [None, [], "hello", [1], [{"role": "user"}], _PICTURE])
def test_a_wrong_chat_is_answered_with_an_error_of_the_protocol(server, messages):
    reply = call(server, "POST", CHAT, {"messages": messages})
    assert reply.status == 400
    assert reply.error["param"] == "messages"


def test_options_that_change_nothing_and_unknown_fields_are_taken(server):
    assert ask(server, n=1, stop=None, top_p=1, logprobs=None, user="me").status == 200


def test_other_addresses_and_methods_are_answered_in_the_protocol(server):
    assert call(server, "GET", "/v1/nothing").error["type"] == "not_found_error"
    assert call(server, "GET", "/v1/models/other").status == 404
    assert call(server, "GET", COMPLETIONS).status == 405


def test_a_body_too_long_is_refused_unread(server):
    there = connection(server)
    there.putrequest("POST", COMPLETIONS)
    there.putheader("content-length", str(1 << 40))
    there.endheaders()
    assert there.getresponse().status == 413
    there.close()


def test_tokens_arrive_one_by_one(server):
    """The first event is there while most of the answer is still to come."""
    there = connection(server)
    body = {"prompt": "a", "max_tokens": 200, "temperature": 0, "ignore_eos": True, "stream": True}
    there.connect()
    assert isinstance(there.sock, socket.socket)
    there.request("POST", COMPLETIONS, json.dumps(body))
    answer = there.getresponse()
    first = answer.read1(65536)
    assert 0 < first.count(b"data: ") < 100
    assert (first + answer.read()).count(b"data: ") == 201
    there.close()
