"""How a run of `bench serve` goes on, stops, and is taken up; a made-up endpoint and clock."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest
from tests.unit.serving.made import CLOSED, ENDPOINT, failing, plan, requests

from crossgrade.errors import BadOption, TargetBroken
from crossgrade.records.codec import to_json
from crossgrade.serving.run import Lost, Sampled, run_serving, serve_event_of
from crossgrade.values.serving import SESSIONS, Load, ServeSession

TWO = (CLOSED, Load(kind="closed-loop", concurrency=1, requests=100, warmups=8))


class Endless(Exception):
    """A run went on for longer than it should."""


class Made:
    """A source, and the endpoint of its sessions."""

    def __init__(self, *, takes_s=10.0, beside_s=1.0, noise=0.0, fails=False, endpoint=ENDPOINT):
        self.now = 0.0
        self.takes_s, self.beside_s, self.noise, self.fails = takes_s, beside_s, noise, fails
        self.endpoint = endpoint
        self.looked = 0
        self.played = []
        self.limits = []
        self.breaks_at = ()

    def clock(self):
        return self.now

    def look(self, plan):
        self.looked += 1
        return self.endpoint

    @contextlib.contextmanager
    def session(self, index):
        self.now += self.beside_s
        yield self

    def play(self, plan, place, endpoint, *, index, limit_s):
        if len(self.played) > 100:
            raise Endless
        self.played.append((index, place))
        self.limits.append(limit_s)
        if (index, place) in self.breaks_at:
            raise TargetBroken("it died")
        self.now += min(self.takes_s, limit_s)
        scale = np.random.default_rng([index, place]).lognormal(0, self.noise)
        made = requests(np.arange(108) * 0.1, 0.2 * scale, 0.5 * scale)
        return ServeSession(
            index=index, load=place, restarted=False, null_per_s=1000.0,
            requests=failing(made, range(108)) if self.fails else made,
            spent_s=min(self.takes_s, limit_s),
        )  # fmt: skip


class Store:
    def __init__(self, events=()):
        self.kept = list(events)

    def events(self):
        return iter(list(self.kept))

    def keep(self, event):
        told = {"event": type(event).__name__, **to_json(event)}
        assert serve_event_of(told) == event
        self.kept.append(event)


def ran(source, *loads, store=None, **changes):
    given = {"budget_s": 300.0, "least_sessions": 5, "looks": SESSIONS, **changes}
    return run_serving(plan(*(loads or TWO), **given), source, store, clock=source.clock)


def test_it_stops_when_every_load_is_known_well_enough():
    source = Made()
    result = ran(source)
    assert result.verdict == "measured"
    assert [found.sessions for found in result.loads] == [5, 5]
    assert sorted(source.played) == [(i, place) for i in range(5) for place in range(2)]
    assert result.spent_s == 5 * (1 + 2 * 10)


def test_loads_take_turns_in_another_order():
    source = Made()
    ran(source)
    firsts = [next(place for i, place in source.played if i == index) for index in range(5)]
    assert len(set(firsts)) == 2


def test_noise_costs_sessions_and_the_budget_ends_it():
    source = Made(noise=0.5)
    result = ran(source)
    assert result.verdict == "noisy"
    assert 8 <= result.loads[0].sessions <= 15
    assert result.spent_s <= 300


def test_a_long_load_is_shortened_so_that_every_session_fits():
    source = Made(takes_s=1000.0, beside_s=8.0)
    result = ran(source)
    assert [found.sessions for found in result.loads] == [5, 5]
    assert result.spent_s <= 300
    assert min(source.limits) > 10


def test_a_budget_that_is_gone_within_a_session_ends_it_there():
    source = Made(takes_s=50.0, beside_s=299.0)
    result = ran(source, budget_s=300.0)
    assert source.now < 400
    assert result.verdict == "unmeasured"
    assert {found.sessions for found in result.loads} == {0, 1}


def test_an_endpoint_that_answers_nothing_is_left_after_one_session():
    source = Made(fails=True)
    assert ran(source).verdict == "http-error"
    assert {index for index, _ in source.played} == {0}


def test_a_session_that_is_lost_midway_counts_for_no_load():
    source = Made()
    source.breaks_at = {(2, 0), (2, 1)}
    result = ran(source)
    assert [found.sessions for found in result.loads] == [5, 5]
    assert [one.index for one in result.lost] == [2]
    assert 2 not in {one.index for one in result.sessions}
    assert result.verdict == "measured"


def test_a_server_that_dies_again_and_again_is_not_started_for_ever():
    source = Made()
    source.breaks_at = {(i, place) for i in range(1, 50) for place in range(2)}
    result = ran(source)
    assert len(result.lost) == 3
    assert result.verdict == "noisy"


def test_a_server_that_never_served_is_an_error():
    source = Made()
    source.breaks_at = {(0, 0), (0, 1)}
    with pytest.raises(TargetBroken, match="it died"):
        ran(source)


def test_other_errors_are_not_taken_for_a_loss():
    source = Made()

    def play(*_, **__):
        raise BadOption("nothing fits")

    source.play = play
    store = Store()
    with pytest.raises(BadOption):
        ran(source, store=store)
    assert not [event for event in store.kept if isinstance(event, Lost)]


@pytest.mark.parametrize("kept", [1, 2, 3, 4, 7])
def test_an_interrupted_run_goes_on_where_it_was(kept):
    store = Store()
    whole = ran(Made(), store=store)
    again = Store(store.kept[:kept])
    source = Made()
    resumed = ran(source, store=again)
    assert len(source.played) == 10 - (kept - 1)
    assert resumed.loads == whole.loads
    taken = [(e.session.index, e.session.load) for e in again.kept if isinstance(e, Sampled)]
    assert len(set(taken)) == len(taken) == 10
    assert resumed.spent_s == pytest.approx(whole.spent_s, abs=2)


def test_a_finished_run_is_not_looked_at_again():
    store = Store()
    ran(Made(), store=store)
    source = Made()
    assert ran(source, store=store).verdict == "measured"
    assert (source.looked, source.played) == (0, [])


@pytest.mark.parametrize("change", [{"facts": {"version": "2"}}, {"model": "another"}])
def test_an_interrupted_run_does_not_go_on_with_another_endpoint(change):
    store = Store()
    ran(Made(), store=store)
    cut = Store(store.kept[:4])
    source = Made(endpoint=dataclasses.replace(ENDPOINT, **change))
    with pytest.raises(BadOption, match="another endpoint"):
        ran(source, store=cut)
    assert len(cut.kept) == 4
