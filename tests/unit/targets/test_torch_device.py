"""Torch devices: kernels, reasons, guard, facts; on the CPU, which is always here."""

import dataclasses
import gc
import weakref

import pytest
import torch

from crossgrade.targets import torch_device, torch_kernel
from crossgrade.targets.protocol import CanFlush, CanWitness
from crossgrade.targets.registry import open_target
from crossgrade.targets.torch_kernel import first_element, first_tensor
from crossgrade.values.operator_case import CannotRun, OperatorCase
from crossgrade.workloads.operators import BuiltOperator, build

ADD = OperatorCase(op="add", dtype="float32", arguments={"batch_size": 4, "dim_size": 8}, seed=3)


@pytest.fixture
def cpu():
    target = open_target("cpu")
    yield target
    target.close()


def _building(monkeypatch, **changes):
    """Let the catalogue give the addition with other parts."""
    built = dataclasses.replace(build(ADD), **changes)
    monkeypatch.setattr(torch_kernel, "build", lambda case: built)


def test_it_gives_what_torch_gives(cpu):
    kernel = cpu.prepare(ADD)
    kernel.launch()
    inputs = build(ADD).make_inputs(torch.Generator().manual_seed(3), torch.device("cpu"))
    assert torch.equal(kernel.output(), torch.add(*inputs))
    assert kernel.read() == pytest.approx(float(torch.add(*inputs)[0, 0]))
    assert kernel.work() == (32, 3 * 32 * 4)


def test_it_can_flush_and_witness(cpu):
    assert isinstance(cpu, CanFlush)
    assert isinstance(cpu, CanWitness)
    cpu.flush()
    witness = cpu.witness()
    assert not set(witness.readings) & set(witness.unread)
    assert {"clock_hz", "power_w", "load"} <= set(witness.readings) | set(witness.unread)


def test_facts_name_device_runtime_and_threads(cpu):
    facts = cpu.facts()
    assert facts["runtime"] == f"torch {torch.__version__}"
    assert facts["threads"] == str(torch.get_num_threads())
    assert facts["device"]
    assert cpu.forkable


def test_copies_have_memory_of_their_own_and_take_turns(cpu, monkeypatch):
    seen = []

    def run(a, b):
        seen.append(a.data_ptr())
        return a + b

    _building(monkeypatch, run=run)
    kernel = cpu.prepare(ADD, copies=3)
    first = seen[:3]
    assert len(set(first)) == 3
    for _ in range(4):
        kernel.launch()
    assert seen[3:] == [*first, first[0]]


def test_close_frees_the_buffers_and_may_come_twice(cpu, monkeypatch):
    held = []

    def inputs(rng, device):
        tensors = (torch.ones(4, device=device), torch.ones(4, device=device))
        held.extend(weakref.ref(t) for t in tensors)
        return tensors

    _building(monkeypatch, make_inputs=inputs)
    kernel = cpu.prepare(ADD, copies=2)
    assert all(ref() is not None for ref in held)
    kernel.close()
    kernel.close()
    gc.collect()
    assert all(ref() is None for ref in held)


def test_inputs_skip_autograd_where_the_case_allows_it(cpu, monkeypatch):
    modes = []

    def run(a, b):
        modes.append(a.is_inference())
        return a + b

    _building(monkeypatch, run=run)
    cpu.prepare(ADD).launch()
    assert modes == [True, True]


def test_a_backward_pass_gets_plain_tensors(cpu, monkeypatch):
    def run(a, b):
        with torch.enable_grad():
            x = a.detach().requires_grad_()
            return torch.autograd.grad((x * b).sum(), x)

    _building(monkeypatch, run=run)
    kernel = cpu.prepare(ADD)
    kernel.launch()
    inputs = build(ADD).make_inputs(torch.Generator().manual_seed(3), torch.device("cpu"))
    assert kernel.read() == pytest.approx(float(inputs[1][0, 0]))


def test_grad_mode_and_threads_are_left_alone(cpu):
    before = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_num_threads()
    kernel = cpu.prepare(ADD)
    kernel.launch()
    after = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_num_threads()
    assert before == after


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (OperatorCase(op="no such", dtype="float32"), "unknown-operator"),
        (dataclasses.replace(ADD, arguments={"batch_size": 4}), "bad-arguments"),
        (dataclasses.replace(ADD, dtype="float8_e4m3fn"), "unsupported-format"),
        (dataclasses.replace(ADD, arguments={"batch_size": 2**30, "dim_size": 2**10}), "too-large"),
    ],
)
def test_what_cannot_run_says_why(cpu, case, reason):
    with pytest.raises(CannotRun) as caught:
        cpu.prepare(case)
    assert caught.value.reason == reason


def test_the_guard_counts_every_copy(cpu, monkeypatch):
    monkeypatch.setattr(torch_device, "host_free_bytes", lambda: 1000.0)
    cpu.prepare(ADD, copies=2)
    with pytest.raises(CannotRun, match="too-large"):
        cpu.prepare(ADD, copies=3)


def test_a_failed_allocation_is_out_of_memory(cpu, monkeypatch):
    _building(monkeypatch, make_inputs=lambda rng, device: (torch.empty(2**58), torch.empty(1)))
    with pytest.raises(CannotRun, match="out-of-memory"):
        cpu.prepare(ADD)


@pytest.mark.parametrize(
    ("output", "value"),
    [
        (torch.tensor([[7, 8]]), 7.0),
        (torch.tensor(True), 1.0),
        (torch.tensor([2.0]).to(torch.float8_e4m3fn), 2.0),
        (torch.tensor([1 + 2j]), 1.0),
        ((torch.tensor([5.0], requires_grad=True), None), 5.0),
        (torch.arange(6.0).view(2, 3).t(), 0.0),
    ],
)
def test_element_zero_of_any_output(output, value):
    assert first_element(output) == value


@pytest.mark.parametrize("output", [None, (), torch.empty(0)])
def test_an_output_without_elements_is_bad(output):
    with pytest.raises(CannotRun, match="bad-output"):
        first_element(output)


def test_first_tensor_looks_into_tuples():
    assert first_tensor(((torch.ones(1),), 2)).item() == 1.0


def test_a_kernel_without_functions_cannot_run():
    with pytest.raises(CannotRun):
        torch_kernel.TorchKernel(
            BuiltOperator(
                run=torch.add,
                make_inputs=lambda rng, device: (),
                flop=None,
                bytes=None,
                buffer_bytes=0,
            ),
            (),
            device=torch.device("cpu"),
            seed=0,
            copies=1,
            wait=lambda: None,
        )
