"""What a capture says of every call: where its values come from, what it writes, its place."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from truthlib import captured, from_config, from_factory, from_module
from truthmodels import preset

from crossgrade.capture.codec import digest
from crossgrade.capture.policies import MASKED_INDEX, POLICIES
from crossgrade.capture.recorder import Recorder
from crossgrade.values.capture import (
    ALIAS_NONE,
    ALIAS_SAME,
    ALIAS_VIEW,
    COLUMNS,
    ROLES,
    STAGES,
    TABLES,
)

aten = torch.ops.aten


class Through(nn.Module):
    """Calls a function in its forward pass."""

    def __init__(self, function, *children):
        super().__init__()
        self.function, self.inside = function, nn.ModuleList(children)

    def forward(self, *inputs):
        return self.function(*inputs)


def of(function, *inputs, phase="prefill"):
    return captured(from_module(Through(function), *inputs), phase)


def names(capture):
    operators, keys = capture.tables["operators"], capture.columns["key_operator"]
    return [operators[keys[k]] for k in capture.columns["call_key"].tolist()]


def call(capture, operator):
    """Return the number of the only call of an operator."""
    (found,) = [i for i, name in enumerate(names(capture)) if name == operator]
    return found


def storage(capture, value):
    return int(capture.columns["value_storage"][value])


def role(capture, value):
    return ROLES[capture.columns["storage_role"][storage(capture, value)]]


def aliases(capture, number):
    a, b = capture.columns["call_output_start"][number : number + 2].tolist()
    return capture.columns["call_output_alias"][a:b].tolist()


def mutated(capture, number):
    a, b = capture.columns["call_input_start"][number : number + 2].tolist()
    return capture.columns["call_input_mutated"][a:b].tolist()


def module_of(capture, number):
    return capture.tables["modules"][capture.columns["call_module"][number]]


SMALL = {
    "qwen3": lambda: preset("qwen3-0.6b", num_hidden_layers=2),
    "mixture": lambda: preset("qwen3-30b-a3b", num_hidden_layers=2, num_experts=8),
}
PHASES = [("prefill", 16, 0), ("decode", 1, 32), ("train", 16, 0)]


@pytest.fixture(scope="module", params=[(m, p) for m in SMALL for p in PHASES], ids=str)
def asked(request):
    return request.param


@pytest.fixture(scope="module")
def real(asked):
    name, (phase, tokens, context) = asked
    return captured(from_config(SMALL[name]()), phase, tokens=tokens, context=context)


def test_every_input_is_produced_earlier_or_outside(real):
    producer = real.columns["value_producer"]
    for number in range(real.calls):
        assert all(producer[v] < number for v in real.inputs_of(number))
        assert all(producer[v] == number for v in real.outputs_of(number))


def test_every_value_is_made_once(real):
    made = real.columns["call_output"]
    assert len(np.unique(made)) == len(made)
    outside = set(range(len(real.columns["value_meta"]))) - set(made.tolist())
    assert all(real.columns["value_producer"][v] == -1 for v in outside)


def test_storages_live_while_they_are_used(real):
    c = real.columns
    born, died = c["storage_born"], c["storage_died"]
    assert (born <= died).all()
    for number in range(real.calls):
        for value in (*real.inputs_of(number), *real.outputs_of(number)):
            assert born[storage(real, value)] <= number <= died[storage(real, value)]


def test_keys_describe_the_values_of_their_calls(real):
    c = real.columns
    for number, key in enumerate(c["call_key"].tolist()):
        described = real.key(key)
        shapes = [real.meta(c["value_meta"][v]) for v in real.inputs_of(number)]
        assert list(described.inputs) == shapes
        shapes = [real.meta(c["value_meta"][v]) for v in real.outputs_of(number)]
        assert list(described.outputs) == shapes


def test_columns_and_tables_are_those_of_the_schema(real):
    assert set(real.columns) == set(COLUMNS)
    assert set(real.tables) == set(TABLES)
    assert all(real.columns[name].dtype == dtype for name, dtype in COLUMNS.items())


def test_values_fit_into_their_storages(real):
    c = real.columns
    for value, meta in enumerate(c["value_meta"].tolist()):
        shown = real.meta(meta)
        if 0 in shown.shape:
            continue
        steps = zip(shown.shape, shown.strides, strict=True)
        reach = int(c["value_offset"][value]) + sum((n - 1) * step for n, step in steps) + 1
        whole = c["storage_bytes"][storage(real, value)]
        assert reach * shown.nbytes / shown.numel <= whole + 1e-6


def test_capture_without_replays_has_the_same_digest(asked, real, monkeypatch):
    class Never(dict):
        def get(self, key, default=None):
            return default

    original = Recorder.__init__

    def without(self, *args, **kwargs):
        original(self, *args, **kwargs)
        self._replays = Never()

    monkeypatch.setattr(Recorder, "__init__", without)
    name, (phase, tokens, context) = asked
    again = captured(from_config(SMALL[name]()), phase, tokens=tokens, context=context)
    assert digest(again) == digest(real)


def test_two_captures_in_a_row_are_equal():
    from truthlib import workload

    from crossgrade.capture.run import CaptureSession

    session = CaptureSession(from_config(SMALL["qwen3"]()))
    for phase, tokens, context in PHASES:
        wanted = workload(phase, tokens=tokens, context=context)
        assert digest(session.capture(wanted)) == digest(session.capture(wanted))


def test_fresh_output_is_no_alias():
    c = of(lambda x: x + 1, torch.empty(4))
    assert aliases(c, call(c, "aten.add.Tensor")) == [ALIAS_NONE]


def test_view_shares_its_storage():
    c = of(lambda x: x.view(2, 8) * 2, torch.empty(4, 4))
    number = call(c, "aten.view.default")
    assert aliases(c, number) == [ALIAS_VIEW]
    assert storage(c, c.inputs_of(number)[0]) == storage(c, c.outputs_of(number)[0])


def test_in_place_call_gives_the_next_version():
    c = of(lambda x: x.add_(1).mul(2), torch.empty(4))
    add = call(c, "aten.add_.Tensor")
    assert aliases(c, add) == [ALIAS_SAME]
    assert mutated(c, add) == [1]
    assert c.inputs_of(add) != c.outputs_of(add)
    assert c.inputs_of(call(c, "aten.mul.Tensor")) == c.outputs_of(add)


def test_out_argument_is_written():
    c = of(lambda x, y: torch.add(x, x, out=y), torch.empty(4), torch.empty(4))
    number = call(c, "aten.add.out")
    assert mutated(c, number) == [0, 0, 1]
    assert aliases(c, number) == [ALIAS_SAME]


def test_foreach_gives_a_version_of_every_tensor():
    def step(x, y):
        torch._foreach_mul_([x, y], 0.5)
        return x + y

    c = of(step, torch.empty(4), torch.empty(4))
    number = call(c, "aten._foreach_mul_.Scalar")
    assert aliases(c, number) == [ALIAS_SAME, ALIAS_SAME]
    assert mutated(c, number) == [1, 1]
    assert c.inputs_of(call(c, "aten.add.Tensor")) == c.outputs_of(number)


def test_split_gives_views_of_one_storage():
    c = of(lambda x: x.split(2)[1] + 1, torch.empty(4, 4))
    number = call(c, "aten.split.Tensor")
    assert aliases(c, number) == [ALIAS_VIEW, ALIAS_VIEW]
    assert c.columns["value_offset"][c.outputs_of(number)].tolist() == [0, 8]


def test_numbers_of_different_kinds_are_different_arguments():
    c = of(lambda x: x.add(1).add(1.0).add(True), torch.empty(4))
    keys = [k for k, n in zip(c.columns["call_key"], names(c), strict=True) if "add" in n]
    assert len(set(keys)) == 3
    shown = [c.key(int(k)).arguments for k in keys]
    assert shown == [f'[[{{"t":0}},{number}],{{}}]' for number in ("1", "1.0", "true")]


def test_temporary_dies_at_its_last_use():
    c = of(lambda x: ((x + 1) * 2) - 3, torch.empty(4))
    add, mul, sub = (call(c, f"aten.{n}.Tensor") for n in ("add", "mul", "sub"))
    died = c.columns["storage_died"]
    assert died[storage(c, c.outputs_of(add)[0])] == mul
    assert died[storage(c, c.outputs_of(mul)[0])] == sub
    assert died[storage(c, c.outputs_of(sub)[0])] == c.calls


def test_roles_of_a_training_step():
    c = captured(from_factory("perceptron"), "train")
    held = c.columns["storage_role"]
    parameters = (held == ROLES.index("parameter")).sum()
    assert parameters == 8
    assert (held == ROLES.index("gradient")).sum() == parameters
    assert (held == ROLES.index("optimizer")).sum() == 3 * parameters
    assert (held == ROLES.index("input")).sum() == 1
    stages = [STAGES[s] for s in c.columns["call_stage"].tolist()]
    assert stages == sorted(stages, key=STAGES.index)


def test_cache_has_its_role_in_decode(asked, real):
    name, (phase, tokens, context) = asked
    kv = real.columns["storage_role"] == ROLES.index("kv")
    alive = kv & (real.columns["storage_died"] >= real.calls)
    if phase == "train":
        assert not kv.any()
        return
    config = SMALL[name]()
    per_token = 2 * 2 * config["num_key_value_heads"] * config["head_dim"] * 2
    assert real.columns["storage_stored_bytes"][alive].sum() == per_token * (tokens + context)


def test_tied_weights_are_stored_once():
    c = captured(from_config(SMALL["qwen3"]()), tokens=8)
    (embedding,) = [n for n in c.tables["names"] if n.endswith("embed_tokens.weight")]
    assert "lm_head.weight" not in c.tables["names"]
    read = c.inputs_of(call(c, "aten.embedding.default"))[0]
    assert c.tables["names"][c.columns["storage_name"][storage(c, read)]] == embedding
    last = max(i for i, n in enumerate(names(c)) if n == "aten.mm.default")
    assert storage(c, read) in {storage(c, v) for v in c.inputs_of(last)}


def test_module_paths_of_forward_and_backward():
    c = captured(from_factory("perceptron"), "train")
    forward = [(n, module_of(c, i)) for i, n in enumerate(names(c)) if n == "aten.addmm.default"]
    assert [m for _, m in forward] == ["0", "2", "4", "6"]
    backward = STAGES.index("backward")
    products = [
        module_of(c, i)
        for i, n in enumerate(names(c))
        if n == "aten.mm.default" and c.columns["call_stage"][i] == backward
    ]
    # Two gradients each, but for the first layer's input, which needs none.
    assert products == ["6", "6", "4", "4", "2", "2", "0"]
    (gelu,) = [i for i, n in enumerate(names(c)) if n == "aten.gelu_backward.default"]
    assert module_of(c, gelu) == "3"


def test_source_is_the_users_line_relative_to_the_folder():
    line = test_source_is_the_users_line_relative_to_the_folder.__code__.co_firstlineno + 2
    c = of(lambda x: x.cos(), torch.empty(4))
    source = c.tables["sources"][c.columns["call_source"][call(c, "aten.cos.default")]]
    path = os.path.relpath(__file__)
    expected = os.path.basename(__file__) if path.startswith("..") else path
    assert source == f"{expected}:{line} (<lambda>)"
    assert not any(os.path.isabs(s) for s in c.tables["sources"])


def test_backward_call_has_the_line_of_its_forward_call():
    weight = nn.Parameter(torch.empty(4))
    module = Through(lambda x: (x * module.weight).cos())
    module.weight = weight
    c = captured(from_module(module, torch.empty(4)), "train")
    sources = c.tables["sources"]
    forward = sources[c.columns["call_source"][call(c, "aten.cos.default")]]
    backward = sources[c.columns["call_source"][call(c, "aten.sin.default")]]
    assert forward
    assert forward == backward


@pytest.mark.parametrize(
    ("function", "operator", "text"),
    [
        (lambda x: x * x.sum().item(), "aten._local_scalar_dense.default",
         POLICIES[aten._local_scalar_dense.default].text),
        (lambda x: x.nonzero() + 1, "aten.nonzero.default", POLICIES[aten.nonzero.default].text),
        (lambda x: x.masked_select(x > 0), "aten.masked_select.default",
         POLICIES[aten.masked_select.default].text),
        (lambda x: x[x > 0] + 1, "aten.index.Tensor", MASKED_INDEX.text),
    ],
)  # fmt: skip
def test_data_dependent_call_carries_its_policy(function, operator, text):
    c = of(function, torch.empty(3, 4))
    marks = [c.tables["marks"][m] for m in c.columns["call_mark"].tolist()]
    marked = {n: m for n, m in zip(names(c), marks, strict=True) if m}
    assert marked == {operator: text}


def test_full_masks_select_everything():
    c = of(lambda x: x[x[:, 0] > 0], torch.empty(3, 4))
    (value,) = c.outputs_of(call(c, "aten.index.Tensor"))
    assert c.meta(c.columns["value_meta"][value]).shape == (3, 4)


def test_known_number_is_not_marked():
    c = of(lambda x: x * torch.tensor(3).item(), torch.empty(4))
    assert not c.columns["call_mark"].any()


def test_silu_backward_stays_one_call():
    """An accelerator has a kernel for it; only a device without one sees it dissolve."""
    module = nn.Sequential(nn.Linear(4, 4), nn.SiLU())
    c = captured(from_module(module, torch.empty(2, 4)), "train")
    assert names(c).count("aten.silu_backward.default") == 1


def test_training_is_captured_after_a_backward_pass_of_the_process():
    """Or refused with a hint that helps: autograd counts devices only once."""
    code = (
        "import torch; torch.ones(2, requires_grad=True).sum().backward()\n"
        "from truthlib import captured, from_factory\n"
        "from crossgrade.errors import CaptureFailed\n"
        "try:\n    captured(from_factory('perceptron'), 'train')\n"
        "except CaptureFailed as error:\n    assert 'process' in error.hint, str(error)\n"
    )
    paths = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-600:]
