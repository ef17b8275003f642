"""A load on an endpoint: every request of it, whatever the endpoint does."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time

import pytest
from tests.serving_endpoints import Script, nobody, prompt_of, scripted

from crossgrade.serving.client import play
from crossgrade.serving.playing import longest_tokens
from crossgrade.values.serving import Endpoint, Load, ServePlan

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def short_self_check(monkeypatch, request):
    """Keep the second of the self-check out of all tests but its own."""
    if request.node.name.startswith("test_self_check"):
        return

    async def quick(*_args, **_keywords):
        return 1.0

    monkeypatch.setattr("crossgrade.serving.playing.null_rate", quick)


def users(count=2, **changes) -> Load:
    return Load(
        kind="closed-loop", concurrency=count,
        **({"requests": 6, "warmups": 2, "input_tokens": 20, "output_tokens": 5} | changes),
    )  # fmt: skip


def arrivals(rate=200.0, **changes) -> Load:
    return Load(
        kind="open-loop", rate_per_s=rate,
        **({"requests": 6, "warmups": 2, "input_tokens": 20, "output_tokens": 5} | changes),
    )  # fmt: skip


def played(address, load, *, api="completions", key=None, limit_s=20.0, timeout_s=10.0, **known):
    plan = ServePlan(endpoint="e", model="m", api=api, loads=(users(), load), timeout_s=timeout_s)
    endpoint = Endpoint(address="e", model="m", **known)
    session = play(
        plan, 1, endpoint, address=address, key=key, index=4, restarted=False, limit_s=limit_s
    )
    holds_together(session)
    return session


def holds_together(session):
    """Hold what must be true of any session."""
    rows = session.requests
    count = len(rows.due_ns)
    for column in ("sent_ns", "first_ns", "last_ns", "ended_ns", "outcomes", "details",
                   "input_asked", "input_reported", "output_asked", "output_reported", "chunks",
                   "text_bytes", "gaps_ns"):  # fmt: skip
        assert len(getattr(rows, column)) == count
    assert list(rows.due_ns) == sorted(rows.due_ns)
    for n in range(count):
        assert len(rows.gaps_ns[n]) == max(0, rows.chunks[n] - 1)
        assert (rows.sent_ns[n] is None) == (rows.ended_ns[n] is None)
        assert (rows.first_ns[n] is None) == (rows.chunks[n] == 0)
        assert (rows.outcomes[n] == "ok") == (rows.details[n] == "")
        assert len(rows.details[n]) <= 400
        if rows.chunks[n]:
            assert rows.due_ns[n] <= rows.sent_ns[n] <= rows.first_ns[n]
            assert rows.first_ns[n] + sum(rows.gaps_ns[n]) == pytest.approx(rows.last_ns[n])
            assert rows.last_ns[n] <= rows.ended_ns[n]
    assert KEY not in repr(session)


@pytest.mark.parametrize("api", ["completions", "chat"])
@pytest.mark.parametrize("load", [users(), arrivals()], ids=["users", "arrivals"])
def test_a_healthy_endpoint(api, load):
    with scripted(Script(gap_s=0.001)) as endpoint:
        session = played(endpoint.address, load, api=api, key=KEY, input_per_word=1.25)
    rows = session.requests
    assert (session.index, session.load, rows.warmups) == (4, 1, 2)
    assert set(rows.outcomes) == {"ok"}
    assert rows.chunks == rows.output_reported == (5,) * 8
    assert rows.text_bytes == (len(" w1 w2 w3 w4 w5"),) * 8
    assert rows.input_asked == (20,) * 8
    assert rows.input_reported == (23,) * 8
    ids = [one.id for one in endpoint.posts]
    assert sorted(ids) == sorted(f"4-1-{n}" for n in range(8))
    assert all(one.headers["authorization"] == f"Bearer {KEY}" for one in endpoint.posts)
    assert len({prompt_of(one.body) for one in endpoint.posts}) == 8


def test_times_are_those_of_the_endpoint():
    with scripted(Script(first_s=0.02, gap_s=0.005)) as endpoint:
        rows = played(endpoint.address, users(1)).requests
    by_id = {one.id: one for one in endpoint.posts}
    for n in range(8):
        wrote = by_id[f"4-1-{n}"]
        assert rows.sent_ns[n] <= wrote.received_ns
        assert wrote.text_ns[0] <= rows.first_ns[n]
        assert wrote.text_ns[-1] <= rows.last_ns[n]
        # It cannot be later than what the endpoint did next.
        assert n == 7 or rows.ended_ns[n] <= by_id[f"4-1-{n + 1}"].received_ns


def test_users_keep_their_number_in_flight_and_their_connections():
    with scripted(Script(first_s=0.01)) as endpoint:
        rows = played(endpoint.address, users(3, requests=12, warmups=0)).requests
    assert rows.warmups == 3
    assert endpoint.most_at_once == 3
    assert endpoint.connections == 3


def test_an_open_loop_sends_whether_or_not_others_are_answered():
    with scripted(Script(first_s=0.5)) as endpoint:
        rows = played(endpoint.address, arrivals(100.0, requests=10)).requests
    assert endpoint.most_at_once == 12
    assert set(rows.outcomes) == {"ok"}
    again = played(nobody(), arrivals(100.0, requests=10)).requests
    first = [due - rows.due_ns[0] for due in rows.due_ns]
    assert first == pytest.approx([due - again.due_ns[0] for due in again.due_ns], abs=1e3)


def test_a_limit_of_requests_at_once_makes_them_wait_in_the_client():
    with scripted(Script(first_s=0.02)) as endpoint:
        rows = played(endpoint.address, arrivals(1000.0, concurrency=2)).requests
    assert endpoint.most_at_once == 2
    late = [sent - due for sent, due in zip(rows.sent_ns, rows.due_ns, strict=True)]
    assert max(late) > 2e7


def test_a_trace_has_its_own_lengths(tmp_path):
    file = tmp_path / "calls.jsonl"
    lines = [(0, 10, 3), (20, 20, 5), (20, 9000, 3), (40, 30, 7)]
    file.write_text("".join(
        f'{{"timestamp": {at}, "input_length": {i}, "output_length": {o}}}\n' for at, i, o in lines
    ))  # fmt: skip
    load = Load(kind="trace", trace=str(file), requests=2, warmups=1, pace=2.0)
    with scripted() as endpoint:
        rows = played(endpoint.address, load, facts={"max_model_len": "100"}).requests
    assert rows.input_asked == (10, 20, 30)
    assert rows.chunks == (3, 5, 7)
    gaps = [b - a for a, b in itertools.pairwise(rows.due_ns)]
    assert gaps == pytest.approx([1e7, 1e7], abs=1e3)


@pytest.mark.parametrize(
    ("script", "outcome", "detail"),
    [
        (Script(way="closing"), "cut-off", "the connection ended"),
        (Script(way="cut-off"), "cut-off", "the connection ended"),
        (Script(way="no-end"), "cut-off", "after 5 events"),
        (Script(way="status", status=500, body="out\x07 of\r\norder" + "x" * 900), "http-error",
         "status 500: out of orderxxx"),
        (Script(way="status", status=429, body=f"no {KEY}"), "http-error", "status 429: no ***"),
        (Script(way="status", status=401), "http-error", "status 401"),
        (Script(way="status", status=302), "http-error", "status 302"),
        (Script(way="error-event"), "http-error", "an error in the stream: out of memory"),
        (Script(way="garbage"), "malformed", "an event is not JSON: {not JSON"),
        (Script(way="html"), "malformed", "content-type 'text/html'"),
        (Script(way="not-http"), "malformed", "not HTTP"),
        (Script(way="long-line"), "malformed", "longer than"),
        (Script(way="endless"), "malformed", "it does not stop: more than 84 events"),
    ],
    ids=lambda value: getattr(value, "way", None),
)  # fmt: skip
def test_failures(script, outcome, detail):
    with scripted(script) as endpoint:
        rows = played(endpoint.address, users(2, requests=4), key=KEY).requests
    assert set(rows.outcomes) == {outcome}
    assert all(text.startswith(detail) or detail in text for text in rows.details)
    if script.way in ("cut-off", "error-event", "garbage"):
        assert rows.chunks == (3,) * 6


@pytest.mark.parametrize(
    ("way", "detail"),
    [
        ("silent", "no answer came for 0.3 s"),
        ("keep-alives", "no text came for 0.3 s"),
        ("stuck", "no more text came for 0.3 s"),
    ],
)
def test_an_endpoint_that_says_nothing(way, detail):
    with scripted(Script(way=way)) as endpoint:
        rows = played(endpoint.address, users(3, requests=3, warmups=0), timeout_s=0.3).requests
    assert set(rows.outcomes) == {"timed-out"}
    assert set(rows.details) == {detail}


def test_a_slow_answer_is_not_silent_as_long_as_text_comes():
    with scripted(Script(gap_s=0.15)) as endpoint:
        rows = played(endpoint.address, users(2, requests=2), timeout_s=0.5).requests
    assert set(rows.outcomes) == {"ok"}


@pytest.mark.parametrize(
    ("script", "chunks", "zero_gaps"),
    [
        (Script(split=1, newline="\r\n"), 5, None),
        (Script(split=7, newline="\r"), 5, None),
        (Script(packed=100), 5, 4),
        (Script(done=False), 5, None),
        (Script(way="cut-at-end", after=9), 5, None),
        (Script(finish=False), 5, None),
        (Script(tokens=2), 2, None),
        (Script(tokens=0), 0, None),
    ],
)
@pytest.mark.parametrize("api", ["completions", "chat"])
def test_streams_of_any_shape(script, chunks, zero_gaps, api):
    with scripted(script) as endpoint:
        rows = played(endpoint.address, users(2, requests=3), api=api).requests
    assert set(rows.outcomes) == {"ok"}
    assert set(rows.chunks) == {chunks}
    if zero_gaps is not None:
        assert all(list(gaps).count(0) == zero_gaps for gaps in rows.gaps_ns)


@pytest.mark.parametrize("timeout_s", [0.3, 10])
def test_an_answer_is_complete_although_its_connection_stays_open(timeout_s):
    with scripted(Script(way="held-open", after=9)) as endpoint:
        rows = played(endpoint.address, users(3, requests=3), timeout_s=timeout_s).requests
        cut = played(endpoint.address, users(3, requests=3), limit_s=0.3).requests
    assert set(rows.outcomes) == {"ok"}
    assert cut.outcomes[:3] == ("ok",) * 3


def test_reasoning_is_text():
    with scripted(Script(reasoning=True)) as endpoint:
        rows = played(endpoint.address, users(), api="chat").requests
    assert set(rows.chunks) == {5}


def test_reports_are_kept_as_they_come():
    with scripted(Script(output_reported=1000)) as endpoint:
        rows = played(endpoint.address, users()).requests
        silent = played(endpoint.address, users(), streams_usage=False).requests
    assert set(rows.output_reported) == {1000}
    assert set(silent.output_reported) == set(silent.input_reported) == {-1}
    assert "stream_options" not in endpoint.posts[-1].body


@pytest.mark.parametrize("load", [users(4, requests=500), arrivals(2000.0, requests=500)],
                         ids=["users", "arrivals"])  # fmt: skip
def test_a_dead_endpoint_costs_twenty_requests(load):
    rows = played(nobody(), load).requests
    sent = [outcome for outcome in rows.outcomes if outcome == "refused"]
    assert 20 <= len(sent) < 200
    assert rows.outcomes[-1] == "unfinished"
    assert rows.sent_ns[-1] is None
    assert "20 requests in a row failed" in rows.details[-1]
    assert "Connection refused" in rows.details[-1]


def test_failures_that_end_do_not_end_the_load():
    with scripted(Script(fails_first=19)) as endpoint:
        rows = played(endpoint.address, users(1, requests=30)).requests
    assert rows.outcomes.count("http-error") == 19
    assert rows.outcomes.count("ok") == 13


@pytest.mark.parametrize("load", [users(2, requests=50), arrivals(20.0, requests=50)],
                         ids=["users", "arrivals"])  # fmt: skip
def test_the_time_of_a_load_is_limited(load):
    with scripted(Script(gap_s=0.3, first_s=0.1)) as endpoint:
        session = played(endpoint.address, load, limit_s=0.4, timeout_s=0.6)
    rows = session.requests
    assert set(rows.outcomes) == {"unfinished"}
    assert rows.details[0] == "the time of the load was over"
    assert rows.details[-1] == "not sent: the time for sending was over"
    assert (rows.sent_ns[0] is None, rows.sent_ns[-1] is None) == (False, True)
    assert session.spent_s >= 1


def test_what_runs_when_sending_is_over_may_end():
    with scripted(Script(gap_s=0.1)) as endpoint:
        rows = played(endpoint.address, users(2, requests=50), limit_s=0.3).requests
    sent = [n for n, at in enumerate(rows.sent_ns) if at is not None]
    assert sent
    assert len(sent) < 50
    assert {rows.outcomes[n] for n in sent} == {"ok"}


def test_a_connection_that_the_server_closed_meanwhile_is_no_failure():
    with scripted(Script(keep_alive_requests=1)) as endpoint:
        rows = played(endpoint.address, users(2, requests=8)).requests
    assert set(rows.outcomes) == {"ok"}
    assert endpoint.connections == 10


def test_self_check_of_the_client():
    with scripted() as endpoint:
        session = played(endpoint.address, users())
    assert session.null_per_s > 0


def test_self_check_that_fails_is_told(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with scripted() as endpoint:
        assert played(endpoint.address, users()).null_per_s is None


def test_a_longest_context_is_a_number_or_unknown():
    known = Endpoint(address="e", model="m", facts={"max_model_len": "4096"})
    assert longest_tokens(known) == 4096
    assert longest_tokens(Endpoint(address="e", model="m")) is None


def test_it_runs_inside_a_running_loop_as_in_a_notebook():
    async def cell(address):
        return played(address, users())

    with scripted() as endpoint:
        assert set(asyncio.run(cell(endpoint.address)).requests.outcomes) == {"ok"}


INTERRUPTED = """
import asyncio, sys
from crossgrade.serving.client import play
from crossgrade.values.serving import Endpoint, Load, ServePlan
plan = ServePlan(endpoint="e", model="m", api="completions", timeout_s=60,
                 loads=(Load(kind="closed-loop", concurrency=4, requests=100),))
def run():
    play(plan, 0, Endpoint(address="e", model="m"), address=sys.argv[1], key=None, index=0,
         restarted=False, limit_s=60)
async def cell():
    run()
try:
    if sys.argv[2] == "notebook":
        # A notebook passes Ctrl-C on to the cell itself, not to its loop.
        asyncio.new_event_loop().run_until_complete(cell())
    else:
        run()
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("where", ["program", "notebook"])
def test_ctrl_c_closes_everything_and_is_passed_on(where):
    with scripted(Script(way="stuck")) as endpoint:
        child = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, endpoint.address, where],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
        )  # fmt: skip
        try:
            end = time.monotonic() + 30
            while len(endpoint.posts) < 4 and time.monotonic() < end:
                time.sleep(0.05)
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=20)
        finally:
            child.kill()
            child.wait()
    assert (out, err) == ("interrupted\n", "")


def test_a_load_that_is_played_again_asks_for_other_things():
    with scripted() as endpoint:
        first = played(endpoint.address, users(2, requests=3))
        again = played(endpoint.address, users(2, requests=3))
    prompts = [one.body["prompt"] for one in endpoint.posts]
    assert len(set(prompts)) == len(prompts)
    assert first.salt != again.salt
