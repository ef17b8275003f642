"""What the truth tests share: capture a model, count it with PyTorch's own tools."""

from __future__ import annotations

import gc
import inspect
import itertools

import torch
import truthmodels
from torch.utils.flop_counter import FlopCounterMode

from crossgrade.capture.device import ensure_device
from crossgrade.capture.run import CaptureSession
from crossgrade.predict.phase import prepare
from crossgrade.values.workload import ModelRef, Workload
from crossgrade.workloads import factory, huggingface
from crossgrade.workloads.built import BuiltModel
from crossgrade.workloads.checkpoint import as_module

# A capture collects garbage first: what pytest and the libraries hold need not be walked each time.
gc.freeze()
# Autograd counts the devices at the first backward of a process; the fake one must exist by then.
ensure_device()


def workload(phase, batch=1, tokens=64, context=0):
    """Return a workload of a nameless model."""
    ref = ModelRef(passed="m", name="m", kind="config", runs_code=False)
    return Workload(model=ref, phase=phase, batch=batch, tokens=tokens, context=context, dtype=None)


def from_config(config, eager=False):
    """Return the model of a configuration, with attention written out if asked."""
    built = huggingface.build(config, name="m", dtype=None)
    gc.freeze()  # a model's code is imported when it is built
    if eager:
        built.module.set_attn_implementation("eager")
    return built


def from_factory(name):
    """Return the model of a factory in `truthmodels`."""
    return factory.build(f"truthmodels:{name}", dtype=None)


def from_module(module, *inputs):
    """Return a module with example tensors as a model."""
    return BuiltModel(
        module=module, weights=as_module(), loss=factory.scalar_loss,
        make_inputs=lambda asked, device: (tuple(factory.moved_to(list(inputs), device)), {}),
        cache_of=factory.cache_of_outputs, set_training=module.train,
    )  # fmt: skip


def captured(built, phase="prefill", **sizes):
    """Return a capture."""
    return CaptureSession(built).capture(workload(phase, **sizes))


def prepared(built, asked):
    """Return a capture with its costs."""
    return prepare(CaptureSession(built).capture(asked))


def call_flops(built, asked):
    """Return the sum of every call's nominal FLOPs."""
    ready = prepared(built, asked)
    return sum(ready.costs[key].flops for key in ready.capture.columns["call_key"].tolist())


def counted(built, module, asked, args, kwargs):
    """Return what FlopCounterMode counts in the same phase."""
    module.train(asked.phase == "train")
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(asked.phase == "train"):
        result = module(*args, **kwargs)
        if asked.phase == "train":
            built.loss(result).backward()
    return counter.get_total_flops()


def config_ratio(config, asked, eager=False):
    """Return captured over counted FLOPs of a configuration."""
    reference = from_config(config, eager)
    # Training looks at values: it runs for real, on whatever numbers are in memory.
    device = torch.device("cpu" if asked.phase == "train" else "meta")
    reference.module.to_empty(device=device)
    args, kwargs = reference.make_inputs(asked, device)
    truth = counted(reference, reference.module, asked, args, kwargs)
    return call_flops(from_config(config, eager), asked) / truth


def factory_ratio(name, asked):
    """Return captured over counted FLOPs of a factory's model."""
    make = getattr(truthmodels, name)
    sizes = {"batch", "tokens"} & set(inspect.signature(make).parameters)
    with torch.device("meta"):
        module, inputs = make(**{size: getattr(asked, size) for size in sizes})
    args, kwargs = ((), inputs) if isinstance(inputs, dict) else (inputs, {})
    built = from_factory(name)
    return call_flops(built, asked) / counted(built, module, asked, args, kwargs)


def real(name):
    """Return a factory's model on the CPU with numbers in it, and its inputs."""
    torch.manual_seed(0)
    module, inputs = getattr(truthmodels, name)()
    fill = (torch.zeros_like, torch.randn_like)
    named = inputs if isinstance(inputs, dict) else dict(enumerate(inputs))
    filled = {k: fill[t.is_floating_point()](t) for k, t in named.items()}
    return (module, (), filled) if isinstance(inputs, dict) else (module, (*filled.values(),), {})


def captured_peak(name, phase):
    """Return the most bytes that are alive at once in a capture of the factory's own sizes."""
    sizes = inspect.signature(getattr(truthmodels, name)).parameters
    given = {k: sizes[k].default for k in ("batch", "tokens") if k in sizes}
    return prepared(from_factory(name), workload(phase, **given)).memory.peak_eager


def measured_peak(name, phase):
    """Return the most bytes alive at once in a real step on the CPU, by the profiler's events.

    Parameters, buffers, inputs and optimizer state exist before the step and are added.
    """
    module, args, kwargs = real(name)
    module.train(phase == "train")
    before = [*module.parameters(), *module.buffers(), *args, *kwargs.values()]
    optimizer = None
    if phase == "train":
        optimizer = torch.optim.AdamW(module.parameters(), foreach=True)
        _step(module, args, kwargs, optimizer)
        optimizer.zero_grad(set_to_none=True)
        before += [t for state in optimizer.state.values() for t in state.values()]
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        _step(module, args, kwargs, optimizer)
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    changes = [e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]
    return sum(t.nbytes for t in before) + max(itertools.accumulate(changes))


def _step(module, args, kwargs, optimizer):
    """Run inference, or a whole training step."""
    if optimizer is None:
        with torch.no_grad():
            module(*args, **kwargs)
        return
    loss = factory.scalar_loss(module(*args, **kwargs))
    loss.backward()
    optimizer.step()
