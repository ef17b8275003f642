"""`layout serve`: what a service on given layouts makes of a rate, of users, or of a trace."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Unpack

from crossgrade.api.options import stored_as
from crossgrade.api.service_options import ServiceOptions as ServiceOptions
from crossgrade.api.texts import Screen, json_text, screen_text
from crossgrade.errors import BadOption
from crossgrade.values.layout import Layout
from crossgrade.values.simulated_service import SimulatedService

if TYPE_CHECKING:
    from crossgrade.predict.serving.request import Load
    from crossgrade.values.simulated_service import Role

Narrate = Callable[[str], None]


def simulate_service(
    model: str, options: ServiceOptions, *, narrate: Narrate = lambda _: None
) -> SimulatedService:
    """Return what a service of a model makes of a load.

    Args:
        model: preset, `config.json`, folder, `.pt2` or `package.module:factory`.
        options: chip, layouts, load.
        narrate: gets one line per step that takes time.

    Raises:
        CrossgradeError: a name or a value is wrong, or the model cannot be built or captured, or
            has no room on the layout.
    """
    options.check()
    with contextlib.redirect_stdout(sys.stderr):
        return _simulated(model, options, narrate)


def _simulated(model: str, options: ServiceOptions, narrate: Narrate) -> SimulatedService:
    from crossgrade.api.calibrating_kernels import knowledge_for
    from crossgrade.api.layouts import serving_chip
    from crossgrade.api.steps import model_steps
    from crossgrade.predict.layouts.service import Limits
    from crossgrade.predict.layouts.simulation import Simulation
    from crossgrade.predict.serving.request import NS

    described, stack = serving_chip(options.on, options.chip_files, options.stack)
    load, words = _load(options)
    steps = model_steps(model, options.quant or options.dtype, narrate, kv=options.kv,
                        skew=options.skew)  # fmt: skip
    longest = int((load.prompts + load.outputs).max())
    if steps.built.most_positions is not None and longest > steps.built.most_positions:
        raise BadOption(f"{longest:,} positions; {steps.name} has {steps.built.most_positions:,}",
                        hint="a shorter --prompt or --output, or another trace")  # fmt: skip
    run = Simulation(
        chip=described, family=steps.family(stack), load=load, roles=_roles(options),
        knowledge=knowledge_for(described, calibrations=options.calibrations),
        limits=Limits(max_tokens=options.max_tokens, max_running=options.max_running,
                      memory=options.memory),
        delay_s=options.scheduler_delay_s or 0.0, ttft_s=options.ttft_s, tpot_s=options.tpot_s,
    )  # fmt: skip
    narrate("pricing steps")
    outcomes, pools, moved = run.outcomes()
    apart, on_the_way = options.prefill_instances > 0, moved.transfer[moved.transfer > 0]
    arrivals = load.arrivals
    span = (arrivals[-1] - arrivals[0]) / NS if arrivals is not None else 0.0
    return SimulatedService(
        limits=_set(options), model=steps.name, weights=stored_as(steps.built.weights, options.kv),
        chip=described.name, stack=stack, pools=pools, load=words, requests=len(load.prompts),
        refused=int((moved.first < 0).sum()), rate_per_s=len(load.prompts) / span if span else None,
        scheduler_delay_s=run.delay_s, ttft_aim_s=run.ttft_s, tpot_aim_s=run.tpot_s,
        transfer_s=float(on_the_way.mean()) / NS if len(on_the_way) else None,
        transfer_link=run.link().name if apart else "", outcomes=outcomes,
    )  # fmt: skip


def _set(options: ServiceOptions) -> str:
    """Return the limits that were set, in words."""
    given = {"--max-tokens": options.max_tokens, "--max-running": options.max_running,
             "--memory": options.memory}  # fmt: skip
    return ", ".join(f"{name} {value:g}" for name, value in given.items() if value is not None)


def _roles(options: ServiceOptions) -> dict[Role, tuple[Layout, int]]:
    """Return what instances do -> layout of one, and how many there are."""
    if not options.prefill_instances:
        return {"both": (options.layout(), options.instances)}
    return {"prefill": (options.prefill_layout(), options.prefill_instances),
            "decode": (options.layout(), options.instances)}  # fmt: skip


def _load(options: ServiceOptions) -> tuple[Load, str]:
    """Return the requests, and what they are in words."""
    import numpy as np

    from crossgrade.predict.serving.request import NS, Load
    from crossgrade.serving.traces import read_trace
    from crossgrade.units import count

    if options.trace is not None:
        trace = read_trace(options.trace)
        most = options.requests or len(trace.offsets_s)
        prompts, outputs = (np.maximum(np.array(column[:most], dtype=np.int64), 1)
                            for column in (trace.input_tokens, trace.output_tokens))  # fmt: skip
        arrivals = np.array([round(at * NS) for at in trace.offsets_s[:most]], dtype=np.int64)
        words = f"{count(len(prompts))} requests of the trace {trace.name}"
    else:
        many = options.requests or 1000
        prompts = np.full(many, options.prompt or 4096, dtype=np.int64)
        outputs = np.full(many, options.output or 1024, dtype=np.int64)
        arrivals = None
        words = f"prompts of {count(prompts[0])} tokens, answers of {count(outputs[0])}"
        if options.rate is not None:
            gaps = np.random.default_rng(options.seed).exponential(1 / options.rate, many)
            arrivals = np.round(np.cumsum(gaps) * NS).astype(np.int64)
            words = f"{count(many)} requests at {options.rate:g} per second, {words}"
        else:
            words = f"{count(many)} requests of {count(options.users or 0)} users, {words}"
    cached = np.minimum((prompts * options.cached).astype(np.int64), prompts - 1)
    if options.cached:
        words += f", {options.cached:.0%} of each prompt cached"
    return Load(prompts=prompts, outputs=outputs, arrivals=arrivals, users=options.users or 0,
                cached=cached if options.cached else None), words  # fmt: skip


def render_service(
    found: SimulatedService, *, as_json: bool = False, **screen: Unpack[Screen]
) -> str:
    """Return a simulated service as text: JSON, tables on a screen, Markdown in a pipe."""
    if as_json:
        return json_text("layout serve", found, found.verdict)
    from crossgrade.report.services import service_document

    return screen_text(service_document(found), screen)
