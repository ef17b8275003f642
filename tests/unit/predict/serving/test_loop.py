"""The event loop gives what a loop over every step and every token gives, to the nanosecond."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from crossgrade.predict.serving.loop import serve
from crossgrade.predict.serving.request import BUCKET, MILLI, Load, Policy, Served


@dataclass
class Request:
    index: int
    prompt: int
    output: int
    cached: int
    arrival: int
    rest: int = 0
    steps: int = 0
    context: int = 0
    first: int = -1
    end: int = -1


def price(decoding: int, bucket: int, chunks: tuple[tuple[int, int], ...]) -> int:
    """A price that depends on everything that it is told."""
    read = sum(7 * new + new * past // 100 for new, past in chunks)
    return 1_000 + 13 * decoding + decoding * bucket + read


def plainly(load: Load, policy: Policy) -> tuple[list[Request], int]:
    """Serve step by step, sequence by sequence; return the requests and the number of steps."""
    prompts, outputs = load.prompts.tolist(), load.outputs.tolist()
    cached = [0] * len(prompts) if load.cached is None else load.cached.tolist()
    comes = load.arrivals.tolist() if load.arrivals is not None else [0] * load.users
    requests = [Request(i, p, o, c, -1) for i, (p, o, c) in
                enumerate(zip(prompts, outputs, cached, strict=True))]  # fmt: skip
    queue: list[Request] = []
    work: list[Request] = []
    now = steps = at = 0
    comes = comes[: len(requests)]

    def leave() -> None:
        if load.arrivals is None and len(comes) < len(requests):
            comes.append(now)

    while True:
        while at < len(comes) and comes[at] <= now:
            requests[at].arrival = comes[at]
            if requests[at].prompt + requests[at].output > policy.capacity:
                leave()
            else:
                queue.append(requests[at])
            at += 1
        while queue and len(work) < policy.max_running:
            held = sum(r.prompt + r.output for r in work)
            if held + queue[0].prompt + queue[0].output > policy.capacity:
                break
            queue[0].rest = queue[0].prompt - queue[0].cached
            work.append(queue.pop(0))
        if not work:
            if at == len(comes):
                return requests, steps
            now = comes[at]
            continue
        decoding = [r for r in work if r.rest == 0]
        reading = [r for r in work if r.rest > 0]
        if reading and not policy.mixed:
            decoding = []
        left, chunks, done = policy.max_tokens - len(decoding), [], []
        for r in reading:
            new = r.rest if not policy.chunked else min(r.rest, left)
            if left <= 0 or (not policy.chunked and new > left and chunks):
                break
            chunks.append((new, r.prompt - r.rest))
            r.rest -= new
            left -= new
            if r.rest:
                break
            done.append(r)
        mean = sum(r.context for r in decoding) // (len(decoding) * MILLI * BUCKET) if decoding else 0
        now += price(len(decoding), mean, tuple(chunks))
        steps += 1
        for r in decoding:
            r.steps -= 1
            r.context += policy.pace
            if r.steps == 0:
                r.end = now
                work.remove(r)
        ended = sorted((r for r in decoding if r.steps == 0), key=lambda r: r.index)
        for _ in ended:
            leave()
        for r in done:
            r.first = now
            r.steps = -(-(r.output - 1) * MILLI // policy.pace)
            r.context = (r.prompt + 1) * MILLI
            if r.output == 1:
                r.end = now
                work.remove(r)
                leave()


def case(seed: int) -> tuple[Load, Policy]:
    """A small service under some load, every option drawn."""
    rng = np.random.default_rng(seed)
    many = int(rng.integers(1, 40))
    prompts = rng.integers(1, int(rng.choice([4, 50, 700])), many)
    closed = bool(rng.integers(2))
    running = int(rng.integers(1, 12))
    load = Load(
        prompts=prompts,
        outputs=rng.integers(1, int(rng.choice([2, 30, 300])), many),
        arrivals=None if closed else np.cumsum(rng.integers(0, 40_000, many)),
        users=int(rng.integers(1, 9)) if closed else 0,
        cached=rng.integers(0, prompts) if rng.integers(2) else None,
    )
    policy = Policy(
        max_running=running,
        max_tokens=running + int(rng.integers(1, 300)),
        capacity=int(rng.choice([400, 1_500, 100_000])),
        mixed=bool(rng.integers(2)),
        chunked=bool(rng.integers(2)),
        pace=int(rng.choice([MILLI, 1_700, 2_440])),
    )
    return load, policy


def check(load: Load, policy: Policy) -> Served:
    found = serve(load, policy, price)
    requests, steps = plainly(load, policy)
    assert found.first.tolist() == [r.first for r in requests]
    assert found.end.tolist() == [r.end for r in requests]
    assert found.arrival.tolist() == [r.arrival for r in requests]
    assert found.steps == steps
    return found


@pytest.mark.parametrize("block", range(8))
def test_events_are_as_exact_as_steps(block):
    for seed in range(25):
        check(*case(25 * block + seed))


def test_what_no_instance_holds_is_refused_and_the_rest_is_served():
    load = Load(prompts=np.array([10, 5_000, 10]), outputs=np.array([4, 4, 4]), users=1)
    found = check(load, Policy(max_running=4, max_tokens=64, capacity=100))
    assert found.refused.tolist() == [1]
    assert len(found.ttft_s) == 2


def test_one_user_waits_for_nobody():
    load = Load(prompts=np.array([100] * 3), outputs=np.array([11] * 3), users=1)
    found = check(load, Policy(max_running=4, max_tokens=512, capacity=10_000))
    assert set(found.ttft_s * 1e9) == {1_700.0}
    assert found.most_running == 1
    assert found.tokens_per_s == pytest.approx(33 / (found.end[-1] / 1e9))


def test_time_in_steps_is_never_more_than_time():
    for seed in range(40):
        load, policy = case(seed)
        found = serve(load, policy, price)
        if len(found.refused) < len(load.prompts):
            assert found.busy <= found.end.max()


@pytest.mark.parametrize(
    "wrong",
    [
        {"outputs": np.array([1])},
        {"prompts": np.array([0, 3])},
        {"users": 0},
        {"users": 0, "arrivals": np.array([5, 3])},
        {"cached": np.array([0, 3])},
    ],
)
def test_a_load_that_makes_no_sense_is_refused(wrong):
    sound = {"prompts": np.array([3, 3]), "outputs": np.array([1, 2]), "users": 2}
    Load(**sound)
    with pytest.raises(ValueError, match=r"\w"):
        Load(**sound | wrong)


@pytest.mark.parametrize("wrong", [{"max_running": 0}, {"max_tokens": 4}, {"pace": 900}])
def test_a_policy_that_could_serve_nobody_is_refused(wrong):
    with pytest.raises(ValueError, match=r"\w"):
        Policy(**{"max_running": 4, "max_tokens": 64, "capacity": 100} | wrong)
