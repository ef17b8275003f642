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
    left: int = 0
    rest: int = 0
    steps: int = 0
    context: int = 0
    first: int = -1
    end: int = -1


def price(decoding: int, bucket: int, chunks: tuple[tuple[int, int], ...]) -> int:
    """A price that depends on everything that it is told."""
    read = sum(7 * new + new * past // 100 for new, past in chunks)
    return 1_000 + 13 * decoding + decoding * bucket + read


@dataclass
class Plain:
    """One step after the other, sequence by sequence, without anything clever."""

    load: Load
    policy: Policy

    def __post_init__(self):
        load = self.load
        prompts, outputs = load.prompts.tolist(), load.outputs.tolist()
        cached = [0] * len(prompts) if load.cached is None else load.cached.tolist()
        self.requests = [Request(i, p, o, c, -1, left=o) for i, (p, o, c) in
                         enumerate(zip(prompts, outputs, cached, strict=True))]  # fmt: skip
        self.asked = [r.prompt + r.output for r in self.requests]
        self.comes = list(range(load.users)) if load.arrivals is None else load.arrivals.tolist()
        self.comes = self.comes[: len(prompts)]
        self.queue: list[Request] = []
        self.work: list[Request] = []  # in the order in which they were admitted
        self.now = self.steps = self.at = self.due = self.began = 0

    def leave(self):
        if self.load.arrivals is None and len(self.comes) < len(self.requests):
            self.comes.append(self.now + 1)

    def held(self):
        if self.policy.reserves:
            return sum(self.asked[r.index] for r in self.work) * MILLI
        return sum(r.prompt * MILLI if r.rest else r.context for r in self.work)

    def receive(self):
        idle = not self.work and not self.queue
        if not idle and self.steps != self.due:
            return
        until = self.began if self.policy.ahead and not idle else self.now
        self.due = self.steps + self.policy.every
        while self.at < len(self.comes) and self.comes[self.at] <= until:
            request = self.requests[self.at]
            request.arrival = self.comes[self.at]
            if self.asked[self.at] > self.policy.capacity:
                self.leave()
            else:
                self.queue.append(request)
            self.at += 1

    def admit(self):
        while self.queue and len(self.work) < self.policy.max_running:
            head = self.queue[0]
            takes = self.asked[head.index] * MILLI
            if not self.policy.reserves:
                takes = (head.prompt + 1) * MILLI + (len(self.decoding()) + 1) * self.policy.pace
            if self.held() + takes > self.policy.capacity * MILLI and self.work:
                break
            head.rest = head.prompt - head.cached
            self.work.append(self.queue.pop(0))

    def decoding(self):
        return [r for r in self.work if r.rest == 0]

    def make_room(self):
        while (
            not self.policy.reserves
            and self.decoding()
            and len(self.work) > 1
            and self.held() + len(self.decoding()) * self.policy.pace > self.policy.capacity * MILLI
        ):
            last = self.work.pop()
            if last.rest == 0:
                made = (last.context - (last.prompt + 1) * MILLI) // MILLI
                last.left -= made
                last.prompt += 1 + made
            self.queue.insert(0, last)

    def step(self):
        reading = [r for r in self.work if r.rest > 0]
        if not reading or self.policy.mixed:
            self.make_room()
        reading = [r for r in self.work if r.rest > 0]
        decoding = self.decoding() if self.policy.mixed or not reading else []
        left, chunks, done = self.policy.max_tokens - len(decoding), [], []
        for r in reading:
            new = r.rest if not self.policy.chunked else min(r.rest, left)
            if left <= 0 or (not self.policy.chunked and new > left and chunks):
                break
            chunks.append((r, new, r.prompt - r.rest))
            left -= new
            if new < r.rest:
                break
            done.append(r)
        mean = sum(r.context for r in decoding) // max(len(decoding) * MILLI * BUCKET, 1)
        self.began = self.now
        self.now += price(len(decoding), mean, tuple((new, past) for _, new, past in chunks))
        self.steps += 1
        for r, new, _ in chunks:
            r.rest -= new
        for r in decoding:
            r.steps -= 1
            r.context += self.policy.pace
            if r.steps == 0:
                self.finish(r)
        for r in done:
            r.first = self.now if r.first < 0 else r.first
            r.left -= 1
            r.steps = -(-r.left * MILLI // self.policy.pace)
            r.context = (r.prompt + 1) * MILLI
            if r.left == 0:
                self.finish(r)

    def finish(self, request):
        request.end = self.now
        self.work.remove(request)
        self.leave()

    def run(self):
        while True:
            self.receive()
            self.admit()
            if self.work:
                self.step()
            elif self.at == len(self.comes):
                return self
            else:
                self.now = self.comes[self.at]


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
        capacity=int(rng.choice([400, 1_000, 1_500, 100_000])),
        reserves=bool(rng.integers(2)),
        mixed=bool(rng.integers(2)),
        chunked=bool(rng.integers(2)),
        pace=int(rng.choice([MILLI, 1_700, 2_440])),
        ahead=bool(rng.integers(2)),
        every=int(rng.choice([1, 1, 2, 7, 30])),
    )
    return load, policy


def check(load: Load, policy: Policy) -> Served:
    found = serve(load, policy, price)
    plain = Plain(load, policy).run()
    requests = plain.requests
    assert found.first.tolist() == [r.first for r in requests]
    assert found.end.tolist() == [r.end for r in requests]
    assert found.arrival.tolist() == [r.arrival for r in requests]
    assert found.steps == plain.steps
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


def test_what_comes_while_a_step_runs_waits_for_the_next_one_too():
    """A second request comes 1 ns after a first has begun to be read."""
    load = Load(prompts=np.array([10, 10]), outputs=np.array([9, 1]), arrivals=np.array([0, 1]))
    sizes = {"max_running": 4, "max_tokens": 64, "capacity": 1_000}
    at_once = check(load, Policy(**sizes))
    later = check(load, Policy(**sizes, ahead=True))
    read, step = price(0, 0, ((10, 0),)), price(1, 0, ())
    assert at_once.first.tolist() == [read, read + price(1, 0, ((10, 0),))]
    assert later.first.tolist() == [read, read + step + price(1, 0, ((10, 0),))]


def test_a_scheduler_that_seldom_looks_lets_requests_wait():
    load = Load(prompts=np.array([10, 10]), outputs=np.array([90, 1]), arrivals=np.array([0, 1]))
    sizes = {"max_running": 4, "max_tokens": 64, "capacity": 1_000}
    found = check(load, Policy(**sizes, every=30))
    assert found.steps == 90
    assert found.first[1] > 29 * price(1, 0, ())
