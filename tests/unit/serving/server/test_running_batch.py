"""Requests that run at once: same answers, shared executions, slots that are freed, the log."""

from __future__ import annotations

import json
import time

from talk import COMPLETIONS, ask, at_once, call, connection, eventually, prompts

from crossgrade.serving.server_log import read_log


def _lines(server, *names):
    """Return the lines of the named requests, once all are written."""
    assert eventually(lambda: {line.id for line in read_log(server.log)} >= set(names))
    found = {line.id: line for line in read_log(server.log)}
    return [found[name] for name in names]


def test_greedy_answers_do_not_depend_on_what_runs_beside_them(server):
    asked = [{"prompt": prompt, "max_tokens": 24} for prompt in prompts(12)]
    alone = [ask(server, **fields).said["choices"][0]["text"] for fields in asked]
    beside = [reply.said["choices"][0]["text"] for reply in at_once(server, asked)]
    assert beside == alone
    assert len(set(alone)) == len(alone)
    assert any(len(set(text.split())) > 4 for text in alone)


def test_draws_do_not_depend_on_what_runs_beside_them(server):
    asked = [{"prompt": [1, 2], "temperature": 3, "seed": seed} for seed in range(8)]
    alone = [ask(server, **fields).said["choices"][0]["text"] for fields in asked]
    assert [r.said["choices"][0]["text"] for r in at_once(server, asked)] == alone


def test_requests_at_once_share_executions(server):
    names = [f"shared-{index}" for index in range(8)]
    at_once(server, [{"name": name, "max_tokens": 100, "stream": True} for name in names])
    lines = _lines(server, *names)
    executions = max(x.last_step for x in lines) - min(x.first_step for x in lines) + 1
    assert executions < 8 * 100 / 2
    assert all(line.output_tokens == 100 for line in lines)


def test_more_requests_than_slots_are_all_answered(server):
    replies = at_once(server, [{"max_tokens": 20, "stream": True}] * 24)
    assert [len(reply.pieces) for reply in replies] == [20] * 24


def test_a_client_that_leaves_frees_its_slot(server):
    """All slots are taken by clients that leave; then one request needs one of them."""
    body = {"prompt": "a", "max_tokens": 500, "ignore_eos": True, "stream": True}
    gone = []
    for index in range(8):
        there = connection(server)
        there.request("POST", COMPLETIONS, json.dumps(body), {"x-request-id": f"gone-{index}"})
        gone.append((there, there.getresponse()))
    for there, answer in gone:
        answer.read1(10)
        answer.close()
        there.close()
    assert len(ask(server, name="after", max_tokens=50, stream=True).pieces) == 50
    after, *lines = _lines(server, "after", *(f"gone-{index}" for index in range(8)))
    # Had it waited for the others, it would have begun 500 executions after them.
    assert after.last_step - min(line.first_step for line in lines) < 500
    assert {line.finish for line in lines} <= {"cancelled", "length"}
    assert any(line.finish == "cancelled" and line.output_tokens < 500 for line in lines)


def test_a_client_that_leaves_before_a_whole_answer_is_logged(server):
    body = {"prompt": "a", "max_tokens": 500, "ignore_eos": True}
    there = connection(server)
    there.request("POST", COMPLETIONS, json.dumps(body), {"x-request-id": "left"})
    there.close()
    (line,) = _lines(server, "left")
    assert line.finish == "cancelled"
    assert line.first_ns is None


def test_the_log_has_a_line_per_request_in_the_clock_of_the_machine(server):
    before = time.monotonic_ns()
    reply = ask(server, name="logged", prompt=[5, 6, 7], max_tokens=9, stream=True)
    after = time.monotonic_ns()
    assert reply.status == 200
    (line,) = _lines(server, "logged")
    assert (line.prompt_tokens, line.output_tokens) == (3, 9)
    assert (line.finish, line.status) == ("length", 200)
    assert before < line.received_ns < line.first_ns < line.last_ns < after
    assert line.last_step - line.first_step >= 7


def test_a_refused_request_is_logged(server):
    call(server, "POST", COMPLETIONS, b"{", **{"x-request-id": "refused"})
    (line,) = _lines(server, "refused")
    assert (line.finish, line.status, line.output_tokens) == ("error", 400, 0)
