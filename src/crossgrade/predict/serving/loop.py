"""The event loop of one instance: continuous batching with chunked prefill.

A step decodes one token (or more, with drafts) of every sequence whose prompt is read, and reads
parts of prompts while tokens of the step are left. Requests are admitted in order. Where the cache
is full the sequence that was admitted last gives its place up and is read again later. While
nothing can be admitted, read or finished, all steps of one batch cost the same until its mean
context reaches the next bucket: they are taken at once. So the loop does as much work as there are
events, not tokens, and gives what a loop over all steps gives, to the nanosecond. Must not know
prices.
"""

from __future__ import annotations

import heapq
from collections import deque

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
    loop = _Loop(load, policy, price)
    loop.run()
    return loop.served()


class _Loop:
    """The state of one instance; sums of tokens are in thousandths."""

    def __init__(self, load: Load, policy: Policy, price: Price) -> None:
        self.load, self.policy, self.price = load, policy, price
        # Tokens that a request has to have read, and still has to get; a place that was given up
        # moves what was generated from one to the other.
        self.prompts: list[int] = load.prompts.tolist()
        self.left: list[int] = load.outputs.tolist()
        many = len(self.prompts)
        self.cached: list[int] = [0] * many if load.cached is None else load.cached.tolist()
        self.asked = [p + o for p, o in zip(self.prompts, self.left, strict=True)]
        self.arrivals: list[int] = list(range(min(load.users, many)))
        if load.arrivals is not None:
            self.arrivals = load.arrivals.tolist()
        self.first, self.end = [-1] * many, [-1] * many
        self.next = 0
        self.now = self.busy = self.steps = self.prefilled = self.again = self.most = 0
        self.due = 0  # steps after which new requests are looked for
        self.time = 0  # of the last step
        self.waiting: deque[int] = deque()
        self.reading: deque[list[int]] = deque()  # [request, tokens still to read], in order
        self.admitted: list[int] = []  # in order; those that ended are dropped from its end
        self.began: dict[int, int] = {}  # what decodes -> decoding step before its first one
        self.ends: list[tuple[int, int]] = []  # heap of (step after which it ends, request)
        self.step = 0  # steps that decoded
        self.context = 0  # of all that decodes
        self.held = 0  # cache that is taken, or reserved
        self.refused: list[int] = []

    def run(self) -> None:
        """Serve every request."""
        while True:
            self._receive()
            self._admit()
            if self.reading:
                self._read()
            elif self.began:
                self._decode()
            elif self.next < len(self.arrivals):
                self.now = max(self.now, self.arrivals[self.next])
            else:
                return

    def _receive(self) -> None:
        """Put what had come at the last look into the queue."""
        arrivals, capacity, every = self.arrivals, self.policy.capacity, self.policy.every
        if not (self.reading or self.began or self.waiting):
            looked, until = self.steps, self.now
        elif self.steps < self.due:
            return
        else:
            # Looks that were jumped over since saw nothing, and all steps since took one time.
            looked = self.due + (self.steps - self.due) // every * every
            until = self.now - (self.steps - looked + self.policy.ahead) * self.time
        self.due = looked + every
        while self.next < len(arrivals) and arrivals[self.next] <= until:
            if self.asked[self.next] > capacity:
                self.refused.append(self.next)
                self._leave()
            else:
                self.waiting.append(self.next)
            self.next += 1

    def _leave(self) -> None:
        """Let the next user come, where a request ended and users are counted."""
        if self.load.arrivals is None and len(self.arrivals) < len(self.prompts):
            self.arrivals.append(self.now + 1)

    def _admit(self) -> None:
        """Take requests into work while there is room for them, in order."""
        policy = self.policy
        most = policy.capacity * MILLI
        while self.waiting and len(self.began) + len(self.reading) < policy.max_running:
            request = self.waiting[0]
            takes = self.asked[request] if policy.reserves else self.prompts[request]
            # Its first token, and the next one of all, have room too.
            free = 0 if policy.reserves else MILLI + (len(self.began) + 1) * policy.pace
            if self.held + takes * MILLI + free > most and self.held:
                break
            self.waiting.popleft()
            self.held += takes * MILLI
            self.admitted.append(request)
            self.reading.append([request, self.prompts[request] - self.cached[request]])
        self.most = max(self.most, len(self.began) + len(self.reading))

    def _read(self) -> None:
        """Take a step that reads prompts, and decodes where the policy mixes."""
        policy = self.policy
        if policy.mixed:
            self._make_room()
        decodes = len(self.began) if policy.mixed else 0
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
        """Let a request decode; the step that read the last of its prompt gave a token."""
        if self.first[request] < 0:
            self.first[request] = self.now
        self.left[request] -= 1
        if not self.left[request]:
            self._finish(request, self.prompts[request] * MILLI)
            return
        self.began[request] = self.step
        heapq.heappush(self.ends, (self.step + self._needs(request), request))
        self.context += (self.prompts[request] + 1) * MILLI
        self.held += 0 if self.policy.reserves else MILLI

    def _needs(self, request: int) -> int:
        """Return steps that a decoding request takes from its start to its end."""
        return -(-self.left[request] * MILLI // self.policy.pace)

    def _decode(self) -> None:
        """Take as many equal steps as there are before anything changes."""
        queued = len(self.waiting)
        self._make_room()
        many = len(self.began)
        grown = many * self.policy.pace
        bucket = self.context // (many * _UNIT)
        time = self.price(many, bucket, ())
        while self.began.get(self.ends[0][1]) is None:
            heapq.heappop(self.ends)
        steps = min(
            self.ends[0][0] - self.step,
            -(-(many * _UNIT * (bucket + 1) - self.context) // grown),
        )
        if not self.policy.reserves:
            steps = max(min(steps, (self.policy.capacity * MILLI - self.held) // grown), 1)
        if self.next < len(self.arrivals):
            steps = min(steps, self._until_seen(self.arrivals[self.next], time))
        if len(self.waiting) > queued:
            steps = 1  # what gave its place up may get it back
        self._pass(steps, time, many)

    def _until_seen(self, arrival: int, time: int) -> int:
        """Return the steps of some time after which a look finds what came, or is to come."""
        every, ahead = self.policy.every, self.policy.ahead
        after = self.steps + ahead + max(-(-(arrival - self.now) // time), 0)
        return self.due + max(-(-(after - self.due) // every), 0) * every - self.steps

    def _make_room(self) -> None:
        """Let what was admitted last give its place up while the next tokens have none."""
        if self.policy.reserves:
            return
        most, pace = self.policy.capacity * MILLI, self.policy.pace
        while self.began and self.held + len(self.began) * pace > most:
            if len(self.began) + len(self.reading) == 1:
                return
            self._give_up()

    def _give_up(self) -> None:
        """Send the request that was admitted last to the head of the queue, to be read again."""
        while True:
            request = self.admitted.pop()
            if request in self.began:
                made = (self.step - self.began.pop(request)) * self.policy.pace
                context = (self.prompts[request] + 1) * MILLI + made
                self.ends = [entry for entry in self.ends if entry[1] != request]
                heapq.heapify(self.ends)
                self.context -= context
                self.held -= context
                self.prompts[request] += 1 + made // MILLI
                self.left[request] -= made // MILLI
                self._forget(request)
                self.again += self.prompts[request] - self.cached[request]
                break
            if self.reading and self.reading[-1][0] == request:
                _, rest = self.reading.pop()
                self.held -= self.prompts[request] * MILLI
                self.again += self.prompts[request] - self.cached[request] - rest
                self.again += self._forget(request)
                break
        self.waiting.appendleft(request)

    def _forget(self, request: int) -> int:
        """Drop the cache that came with a request; return its tokens, 0 where it is kept."""
        if not self.load.arrives:
            return 0
        lost, self.cached[request] = self.cached[request], 0
        return lost

    def _pass(self, steps: int, time: int, decodes: int) -> None:
        """Let time pass; end what has its last token."""
        self.now += steps * time
        self.time = time
        self.busy += steps * time
        self.steps += steps
        if not decodes:
            return
        self.step += steps
        grown = steps * decodes * self.policy.pace
        self.context += grown
        self.held += 0 if self.policy.reserves else grown
        while self.ends and self.ends[0][0] <= self.step:
            _, request = heapq.heappop(self.ends)
            del self.began[request]
            context = (self.prompts[request] + 1) * MILLI
            context += self._needs(request) * self.policy.pace
            self.context -= context
            self._finish(request, context)

    def _finish(self, request: int, context: int) -> None:
        """Let a request end, and the cache that it took go."""
        self.end[request] = self.now
        self.held -= self.asked[request] * MILLI if self.policy.reserves else context
        while self.admitted and self.end[self.admitted[-1]] >= 0:
            self.admitted.pop()
        self._leave()

    def served(self) -> Served:
        """Return the times of all requests.

        Raises:
            RuntimeError: tokens were lost or invented, or something is left over.
        """
        load, refused = self.load, set(self.refused)
        cached = np.zeros(len(load.prompts), int) if load.cached is None else load.cached
        asked = (load.prompts - cached).tolist()
        due = sum(n for i, n in enumerate(asked) if i not in refused) + self.again
        if self.prefilled != due or self.context or self.held or self.began:
            raise RuntimeError("the loop computed something else than was asked for")
        return Served(
            arrival=np.array(self.arrivals, dtype=np.int64), first=np.array(self.first),
            end=np.array(self.end), outputs=load.outputs, steps=self.steps, busy=self.busy,
            prefilled=self.prefilled, again=self.again, most_running=self.most,
            refused=np.array(self.refused, dtype=np.int64),
        )  # fmt: skip
