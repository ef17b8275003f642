"""The event loop of one instance: continuous batching with chunked prefill.

A step decodes one token (or more, with drafts) of every sequence whose prompt is read, and reads
parts of prompts while tokens of the step are left. Requests are admitted in order. While nothing
can be admitted, read or finished, all steps of one batch cost the same until its mean context
reaches the next bucket: they are taken at once. So the loop does as much work as there are events,
not tokens, and gives what a loop over all steps gives, to the nanosecond. Must not know prices.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from crossgrade.predict.serving.request import BUCKET, MILLI, Load, Policy, Price, Served

_UNIT = BUCKET * MILLI


def serve(load: Load, policy: Policy, price: Price) -> Served:
    """Return what one instance makes of a load.

    Args:
        load: requests.
        policy: how it schedules.
        price: time of a step.

    Raises:
        RuntimeError: more or less was computed than was asked for: a bug.
    """
    loop = _Loop(load=load, policy=policy, price=price)
    loop.run()
    return loop.served()


@dataclass(slots=True, kw_only=True)
class _Loop:
    load: Load
    policy: Policy
    price: Price
    now: int = 0
    step: int = 0
    """Steps that decoded."""
    steps: int = 0
    busy: int = 0
    prefilled: int = 0
    decoding: int = 0
    context: int = 0
    """Sum over what decodes, in thousandths of a token."""
    reserved: int = 0
    most: int = 0
    refused: list[int] = field(default_factory=list)
    waiting: deque[int] = field(default_factory=deque)
    reading: deque[list[int]] = field(default_factory=deque)
    """[request, tokens still to read] in order."""
    ends: list[tuple[int, int]] = field(default_factory=list)
    """Heap of (step after which it ends, request)."""
    next: int = 0
    """The request that comes next."""
    prompts: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    cached: list[int] = field(default_factory=list)
    arrivals: list[int] = field(default_factory=list)
    first: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        load = self.load
        self.prompts, self.outputs = load.prompts.tolist(), load.outputs.tolist()
        many = len(self.prompts)
        self.cached = [0] * many if load.cached is None else load.cached.tolist()
        self.first, self.end = [-1] * many, [-1] * many
        if load.arrivals is not None:
            self.arrivals = load.arrivals.tolist()
        else:
            self.arrivals = [0] * min(load.users, many)

    def run(self) -> None:
        """Serve every request."""
        many = len(self.prompts)
        while True:
            self._receive()
            self._admit()
            if self.reading:
                self._read()
            elif self.decoding:
                self._decode()
            elif self.next < many and self.next < len(self.arrivals):
                self.now = max(self.now, self.arrivals[self.next])
            elif not self.waiting:
                return

    def _receive(self) -> None:
        """Put what has come into the queue."""
        arrivals = self.arrivals
        while self.next < len(arrivals) and arrivals[self.next] <= self.now:
            if self.prompts[self.next] + self.outputs[self.next] > self.policy.capacity:
                self.refused.append(self.next)
                self._leave()
            else:
                self.waiting.append(self.next)
            self.next += 1

    def _leave(self) -> None:
        """Let the next user come, where a request ended and users are counted."""
        if self.load.arrivals is None and len(self.arrivals) < len(self.prompts):
            self.arrivals.append(self.now)

    def _admit(self) -> None:
        """Take requests into work while there is room for them, in order."""
        policy = self.policy
        while self.waiting and self.decoding + len(self.reading) < policy.max_running:
            request = self.waiting[0]
            need = self.prompts[request] + self.outputs[request]
            if self.reserved + need > policy.capacity:
                return
            self.waiting.popleft()
            self.reserved += need
            self.reading.append([request, self.prompts[request] - self.cached[request]])
        self.most = max(self.most, self.decoding + len(self.reading))

    def _read(self) -> None:
        """Take a step that reads prompts, and decodes where the policy mixes."""
        policy = self.policy
        decodes = self.decoding if policy.mixed else 0
        left = policy.max_tokens - decodes
        chunks: list[tuple[int, int]] = []
        done: list[int] = []
        for entry in self.reading:
            request, rest = entry
            taken = min(rest, left)
            if not taken or (taken < rest and not policy.chunked and chunks):
                break
            if not policy.chunked:
                taken = rest
            chunks.append((taken, self.prompts[request] - rest))
            entry[1] = rest - taken
            left = max(left - taken, 0)
            self.prefilled += taken
            if taken == rest:
                done.append(request)
        bucket = self.context // (decodes * _UNIT) if decodes else 0
        self._pass(1, self.price(decodes, bucket, tuple(chunks)), decodes)
        for request in done:
            self.reading.popleft()
            self._start(request)

    def _start(self, request: int) -> None:
        """Let a request decode, its first token being there."""
        self.first[request] = self.now
        if self.outputs[request] == 1:
            self._finish(request)
            return
        steps = -(-(self.outputs[request] - 1) * MILLI // self.policy.pace)
        heapq.heappush(self.ends, (self.step + steps, request))
        self.decoding += 1
        self.context += (self.prompts[request] + 1) * MILLI

    def _decode(self) -> None:
        """Take as many equal steps as there are before anything changes."""
        grown = self.decoding * self.policy.pace
        bucket = self.context // (self.decoding * _UNIT)
        time = self.price(self.decoding, bucket, ())
        steps = min(
            self.ends[0][0] - self.step,
            -(-(self.decoding * _UNIT * (bucket + 1) - self.context) // grown),
        )
        if not self.waiting and self.next < len(self.arrivals):
            steps = min(steps, max(-(-(self.arrivals[self.next] - self.now) // time), 1))
        self._pass(steps, time, self.decoding)

    def _pass(self, steps: int, time: int, decodes: int) -> None:
        """Let time pass; end what has its last token."""
        self.now += steps * time
        self.busy += steps * time
        self.steps += steps
        if not decodes:
            return
        self.step += steps
        self.context += steps * decodes * self.policy.pace
        while self.ends and self.ends[0][0] <= self.step:
            end, request = heapq.heappop(self.ends)
            steps_of = -(-(self.outputs[request] - 1) * MILLI // self.policy.pace)
            del end
            self.decoding -= 1
            self.context -= (self.prompts[request] + 1) * MILLI + steps_of * self.policy.pace
            self._finish(request)

    def _finish(self, request: int) -> None:
        self.end[request] = self.now
        self.reserved -= self.prompts[request] + self.outputs[request]
        self._leave()

    def served(self) -> Served:
        """Return the times of all requests.

        Raises:
            RuntimeError: tokens were lost or invented, or something is left over.
        """
        refused = set(self.refused)
        asked = sum(p - c for i, (p, c) in enumerate(zip(self.prompts, self.cached, strict=True))
                    if i not in refused)  # fmt: skip
        if self.prefilled != asked or self.context or self.reserved or self.decoding:
            raise RuntimeError("the loop computed something else than was asked for")
        return Served(
            arrival=np.array(self.arrivals, dtype=np.int64), first=np.array(self.first),
            end=np.array(self.end), outputs=self.load.outputs, steps=self.steps, busy=self.busy,
            prefilled=self.prefilled, most_running=self.most,
            refused=np.array(self.refused, dtype=np.int64),
        )  # fmt: skip
