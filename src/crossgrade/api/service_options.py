"""What the user asks of `layout serve`, checked before any work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crossgrade.api.options import check_formats, check_routing
from crossgrade.errors import BadOption
from crossgrade.values.layout import Layout
from crossgrade.values.workload import CacheFormat

_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """What the user asks of `layout serve`."""

    on: str
    """The chip, as typed."""
    tp: int = 1
    """Tensor parallel ranks of an instance."""
    pp: int = 1
    """Pipeline stages of an instance."""
    dp: int = 1
    """Replicas of attention of an instance."""
    ep: int = 1
    """Ranks of an instance that share out routed experts."""
    instances: int = 1
    """Equal instances; requests go to them in turn."""
    prefill_instances: int = 0
    """Instances that read prompts alone; 0: every instance does both."""
    prefill_tp: int | None = None
    """Tensor parallel ranks of an instance that reads prompts, None for `tp`."""
    prefill_dp: int | None = None
    """Replicas of attention of one, None for `dp`."""
    prefill_ep: int | None = None
    """Ranks of one that share out experts, None for `ep`."""
    rate: float | None = None
    """Requests per second, at random times."""
    users: int | None = None
    """Users that each wait for an answer before they ask again."""
    trace: str | None = None
    """Name of a shipped trace, or a file."""
    requests: int | None = None
    """How many requests; None for 1,000, or all of a trace."""
    prompt: int | None = None
    """Tokens of a prompt, None for 4096, or the trace's."""
    output: int | None = None
    """Tokens of an answer, None for 1024, or the trace's."""
    cached: float = 0.0
    """Share of every prompt that a prefix cache holds."""
    max_tokens: int | None = None
    """Tokens of one step of a replica, None for the stack's own limit."""
    max_running: int | None = None
    """Sequences in work at once on a replica, None for the stack's own limit."""
    memory: float | None = None
    """Share of a chip's memory that weights, activations and cache may take, None for the
    stack's."""
    scheduler_delay_s: float | None = None
    """Time between two steps in which nothing is computed, s; None for 0."""
    ttft_s: float | None = None
    """Most time to the first token for 99 of 100 requests, s."""
    tpot_s: float | None = None
    """Most time per further token for 99 of 100 requests, s."""
    seed: int = 0
    """Of random arrival times."""
    dtype: str | None = None
    """Weight format, None for the checkpoint's own."""
    quant: str | None = None
    """Quantisation of the weights."""
    kv: CacheFormat | None = None
    """Format of cached keys and values, None for the module's own."""
    skew: float | None = None
    """Exponent of the loads of routed experts, 0 for even ones, None without preference."""
    redundant: int = 0
    """Copies of routed experts beside the first of each."""
    stack: str | None = None
    """Stack whose kernels and scheduler are taken, None for the usual one of the chip."""
    chip_files: tuple[str, ...] = ()
    """Chip descriptions of the user."""
    calibrations: tuple[Path, ...] = ()
    """Records of `calibrate --points` of the chip."""

    def check(self) -> None:
        """Refuse values that make no sense.

        Raises:
            BadOption: names the option, the value and what is allowed.
        """
        degrees = ("tp", "pp", "dp", "ep", "instances", "prefill_tp", "prefill_dp", "prefill_ep",
                   "users", "requests", "prompt", "output", "max_tokens",
                   "max_running")  # fmt: skip
        for name in degrees:
            value = getattr(self, name)
            if value is not None and not 1 <= value < _LARGEST:
                raise BadOption(f"--{name.replace('_', '-')} {value}",
                                hint="a whole number from 1 to 2^20")  # fmt: skip
        if not 0 <= self.prefill_instances < _LARGEST:
            raise BadOption(f"--prefill-instances {self.prefill_instances}", hint="0 or more")
        self._check_load()
        if not 0 <= self.cached < 1:
            raise BadOption(f"--cached {self.cached}", hint="a share from 0 to below 1")
        if self.memory is not None and not 0 < self.memory <= 1:
            raise BadOption(f"--memory {self.memory}", hint="a share above 0, to 1")
        check_formats(self.dtype, self.quant, self.kv)
        check_routing(self.skew, self.redundant, self.ep)
        self.layout()
        self.prefill_layout()

    def _check_load(self) -> None:
        """Refuse a load that is none, or two of them."""
        given = {"--rate": self.rate, "--users": self.users, "--trace": self.trace}
        named = [name for name, value in given.items() if value is not None]
        if len(named) != 1:
            raise BadOption(" and ".join(named) or "no load", hint="one of --rate 2, --users 16, "
                            "--trace azure-conv")  # fmt: skip
        if self.rate is not None and not 0 < self.rate < float("inf"):
            raise BadOption(f"--rate {self.rate}", hint="requests per second, above 0")
        if self.trace is not None and (self.prompt or self.output):
            raise BadOption("--prompt and --output belong to --rate and --users",
                            hint="a trace has lengths of its own")  # fmt: skip
        if self.users is not None and self.users < self.instances:
            raise BadOption(f"--users {self.users} for {self.instances} instances",
                            hint="at least one user for each")  # fmt: skip
        if self.seed < 0:
            raise BadOption(f"--seed {self.seed}", hint="a whole number from 0")
        if self.users is not None and self.prefill_instances:
            raise BadOption("--users with --prefill-instances", hint="--rate or --trace")
        apart = (self.prefill_tp, self.prefill_dp, self.prefill_ep)
        if not self.prefill_instances and any(apart):
            raise BadOption("degrees for prompts without instances that read them",
                            hint="add --prefill-instances")  # fmt: skip

    def layout(self) -> Layout:
        """Return the layout of an instance that decodes.

        Raises:
            BadOption: the degrees do not go together.
        """
        return _layout(self.tp, self.dp, self.pp, self.ep, self.redundant)

    def prefill_layout(self) -> Layout:
        """Return the layout of an instance that reads prompts."""
        return _layout(self.prefill_tp or self.tp, self.prefill_dp or self.dp, self.pp,
                       self.prefill_ep or self.ep, self.redundant)  # fmt: skip


def _layout(tp: int, dp: int, pp: int, ep: int, redundant: int) -> Layout:
    if tp * dp % ep:
        raise BadOption(f"--ep {ep} does not divide tp {tp} x dp {dp}",
                        hint="experts are shared by ranks of one pipeline stage")  # fmt: skip
    return Layout(chips=tp * dp * pp, kind="sharded", tp=tp, dp=dp, pp=pp, ep=ep,
                  redundant=redundant if ep > 1 else 0)  # fmt: skip
