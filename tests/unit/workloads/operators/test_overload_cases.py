"""Single overloads out of captured calls: decoding, inputs, refusals, and whole captures."""

from __future__ import annotations

import json
import math

import pytest
import torch

from crossgrade.capture.run import CaptureSession
from crossgrade.values.operator_case import CannotRun, OperatorCase
from crossgrade.values.workload import Workload
from crossgrade.workloads.captured import capture_cases
from crossgrade.workloads.operators import build
from crossgrade.workloads.resolve import find_model

CPU = torch.device("cpu")
PAIR = '[[{"t":0},{"t":1}],{}]'


def tensor(*shape: int, dtype: str = "float32", **more):
    return {"shape": list(shape), "dtype": dtype, **more}


def case(op: str, call, *inputs) -> OperatorCase:
    text = call if isinstance(call, str) else json.dumps(call)
    return OperatorCase(op=op, dtype="float32", arguments={"call": text, "inputs": list(inputs)})


def run(op: str, call, *inputs):
    built = build(case(op, call, *inputs))
    tensors = built.make_inputs(torch.Generator().manual_seed(0), CPU)
    before = [t.clone() for t in tensors]
    return before, built.run(*tensors)


def refusal(op: str, call, *inputs) -> CannotRun:
    with pytest.raises(CannotRun) as caught:
        build(case(op, call, *inputs))
    return caught.value


# calls -----------------------------------------------------------------------------------------
def test_product():
    (a, b), c = run("aten.mm.default", PAIR, tensor(3, 4), tensor(4, 5))
    torch.testing.assert_close(c, a @ b)
    built = build(case("aten.mm.default", PAIR, tensor(3, 4), tensor(4, 5)))
    assert built.flop == 2 * 3 * 4 * 5
    assert built.bytes == built.buffer_bytes == 4 * (12 + 20 + 15)


@pytest.mark.parametrize(("rows", "ends"), [(2, [0, 1, 1, 2]), (6, [1, 3, 4, 6])])
def test_groups_of_a_product_share_its_rows(rows, ends):
    """Where all ends are 0 no row is computed, and the time is that of nothing."""
    call = [[{"t": 0}, {"t": 1}], {"offs": {"t": 2}}]
    inputs = (tensor(rows, 16, dtype="bfloat16"), tensor(4, 16, 24, dtype="bfloat16"),
              tensor(4, dtype="int32"))  # fmt: skip
    built = build(case("aten._grouped_mm.default", call, *inputs))
    a, b, offs = built.make_inputs(torch.Generator().manual_seed(0), CPU)
    assert offs.tolist() == ends
    group = [next(g for g, end in enumerate(ends) if row < end) for row in range(rows)]
    wanted = torch.stack([row.float() @ b[g].float() for row, g in zip(a, group, strict=True)])
    torch.testing.assert_close(built.run(a, b, offs).float(), wanted, rtol=0.05, atol=0.05)
    assert built.flop == 2 * rows * 16 * 24
    weights = len(set(group)) * 16 * 24
    assert built.bytes == 2 * (rows * 16 + weights + rows * 24) + 4 * 4


def test_strides_are_kept_and_an_expanded_dimension_is_read_once():
    transposed = tensor(4, 5, strides=[1, 4])
    built = build(case("aten.mm.default", PAIR, tensor(3, 4), transposed))
    inputs = built.make_inputs(torch.Generator(), CPU)
    assert inputs[1].stride() == (1, 4)
    expanded = build(case("aten.add.Tensor", PAIR, tensor(3, 4), tensor(3, 4, strides=[0, 1])))
    assert expanded.bytes == 4 * (12 + 4 + 12)


def test_formats_layouts_devices_and_infinities_are_decoded():
    _, result = run("aten._to_copy.default", [[{"t": 0}], {"dtype": "torch.float64",
                    "device": "accel:0", "memory_format": "torch.preserve_format"}],
                    tensor(2, 3))  # fmt: skip
    assert result.dtype == torch.float64
    _, result = run("aten.arange.default", [[5], {"device": "accel:0", "pin_memory": False}])
    assert result.tolist() == [0, 1, 2, 3, 4]
    _, result = run("aten.masked_fill.Scalar", [[{"t": 0}, {"t": 1}, "-inf"], {}], tensor(2),
                    tensor(2, dtype="bool"))  # fmt: skip
    assert result.tolist() == [float("-inf")] * 2


def test_lists_of_tensors_and_operators_that_give_nothing():
    lists = [[[{"t": 0}, {"t": 1}], 2.0], {}]
    (a, *_), result = run("aten._foreach_mul_.Scalar", lists, tensor(3), tensor(4))
    torch.testing.assert_close(result, a * 2)
    assert not build(case("aten._foreach_mul_.Scalar", lists, tensor(3), tensor(4))).exportable
    _, result = run("aten.cat.default", [[[{"t": 0}, {"t": 1}], -1], {}], tensor(3), tensor(4))
    assert result.shape == (7,)


@pytest.mark.parametrize("op", ["sqrt", "rsqrt", "log"])
def test_operators_of_positive_numbers_get_them(op):
    _, result = run(f"aten.{op}.default", [[{"t": 0}], {}], tensor(100))
    assert result.isfinite().all()


@pytest.mark.parametrize(
    ("op", "call", "inputs", "position", "rows"),
    [
        ("embedding.default", PAIR, [tensor(7, 2), tensor(50, dtype="int64")], 1, 7),
        ("index_select.default", [[{"t": 0}, -1, {"t": 1}], {}],
         [tensor(2, 7), tensor(50, dtype="int64")], 1, 7),
        ("gather.default", [[{"t": 0}, 0, {"t": 1}], {}],
         [tensor(7, 2), tensor(5, 2, dtype="int64")], 1, 7),
        ("scatter_add.default", [[{"t": 0}, 0, {"t": 1}, {"t": 2}], {}],
         [tensor(7, 2), tensor(9, 2, dtype="int64"), tensor(9, 2)], 1, 7),
        ("index.Tensor", [[{"t": 0}, [None, {"t": 1}]], {}],
         [tensor(2, 7), tensor(50, dtype="int64")], 1, 7),
        ("index_put_.default", [[{"t": 0}, [{"t": 1}], {"t": 2}], {}],
         [tensor(7, 2), tensor(9, dtype="int64"), tensor(9, 2)], 1, 7),
        ("embedding_dense_backward.default", [[{"t": 0}, {"t": 1}, 7, -1, False], {}],
         [tensor(9, 2), tensor(9, dtype="int64")], 1, 7),
        ("nll_loss_forward.default", [[{"t": 0}, {"t": 1}, None, 1, -100], {}],
         [tensor(9, 7), tensor(9, dtype="int64")], 1, 7),
    ],
)  # fmt: skip
def test_indices_run_over_what_they_index(op, call, inputs, position, rows):
    before, _ = run(f"aten.{op}", call, *inputs)
    assert set(before[position].flatten().tolist()) == set(range(rows))
    assert build(case(f"aten.{op}", call, *inputs)).bytes is None


def test_whole_numbers_divide():
    ints = tensor(3, dtype="int64")
    _, result = run("aten.floor_divide.default", PAIR, ints, ints)
    assert result.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("op", "call", "inputs", "flop"),
    [
        ("addmm.default", [[{"t": 0}, {"t": 1}, {"t": 2}], {}],
         [tensor(5), tensor(3, 4), tensor(4, 5)], 2 * 3 * 4 * 5 + 15),
        ("bmm.default", PAIR, [tensor(2, 3, 4), tensor(2, 4, 5)], 2 * 2 * 3 * 4 * 5),
        ("convolution.default",
         [[{"t": 0}, {"t": 1}, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1], {}],
         [tensor(1, 2, 5, 5), tensor(3, 2, 3, 3)], 2 * 3 * 9 * 2 * 9),
        ("_scaled_dot_product_fused_attention_overrideable.default",
         [[{"t": 0}, {"t": 1}, {"t": 2}], {}],
         [tensor(1, 4, 3, 8), tensor(1, 2, 5, 8), tensor(1, 2, 5, 8)], 4 * 4 * 8 * 15),
        ("tanh.default", [[{"t": 0}], {}], [tensor(3)], None),
    ],
)  # fmt: skip
def test_operations(op, call, inputs, flop):
    assert build(case(f"aten.{op}", call, *inputs)).flop == flop


# refusals --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("op", "reason"),
    [
        ("aten.no_such.default", "unsupported-operator"),
        ("aten.mm.no_such", "unsupported-operator"),
        ("aten.mm.__class__", "unsupported-operator"),
        ("aten.mm.default.more", "unsupported-operator"),
        ("aten.from_file.default", "unsupported-operator"),
        ("aten.transpose.int", "unsupported-operator"),
        ("os.system.default", "unsupported-operator"),
    ],
)
def test_overloads_that_are_not_timed(op, reason):
    assert refusal(op, PAIR, tensor(2, 2), tensor(2, 2)).reason == reason


@pytest.mark.parametrize(
    ("call", "inputs", "word"),
    [
        ("{", [tensor(2, 2)] * 2, "`call`"),
        ([1], [tensor(2, 2)] * 2, "`call`"),
        ([[{"t": 2}], {}], [tensor(2, 2)] * 2, "`call`: tensor 2 of 2"),
        ([[{"t": 0}], {}], [tensor(2, 2)] * 2, "`call`: does not fit"),
        (PAIR, [tensor(2, 3), tensor(2, 3)], "`call`: does not fit"),
        (PAIR, [tensor(2, 2), 3], "`inputs[1]`"),
        (PAIR, [tensor(2, -2), tensor(2, 2)], "`inputs[0].shape`"),
        (PAIR, [tensor(2, 1 << 60), tensor(2, 2)], "`inputs[0].shape`"),
        (PAIR, [tensor(2, 2), tensor(2, 2, strides=[1])], "`inputs[1].strides`"),
    ],
)
def test_calls_that_do_not_fit(call, inputs, word):
    refused = refusal("aten.mm.default", call, *inputs)
    assert refused.reason == "bad-arguments"
    assert refused.detail.startswith(word)


def test_formats_that_torch_does_not_have():
    for call, inputs in ((PAIR, [tensor(2, dtype="float7")] * 2),
                         ([[{"t": 0}], {"dtype": "torch.float7"}], [tensor(2)])):  # fmt: skip
        assert refusal("aten._to_copy.default", call, *inputs).reason == "unsupported-format"


def test_other_arguments_are_refused():
    wrong = OperatorCase(op="aten.mm.default", dtype="float32", arguments={"m": 3})
    with pytest.raises(CannotRun, match="`m`"):
        build(wrong)


# captures --------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return a Qwen3 of two layers with small sizes."""
    config = find_model("qwen3-0.6b").config | {
        "num_hidden_layers": 2, "max_window_layers": 2, "layer_types": ["full_attention"] * 2,
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "head_dim": 16,
        "num_attention_heads": 4, "num_key_value_heads": 2,
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "config.json").write_text(json.dumps(config))
    return find_model(str(folder))


def traffic(one: OperatorCase) -> float:
    """Return bytes of all tensors of a call."""
    entries = (*one.arguments["inputs"], *one.arguments["outputs"])
    return sum(math.prod(e["shape"]) * getattr(torch, e["dtype"]).itemsize for e in entries)


@pytest.mark.parametrize(("phase", "tokens", "context"), [("decode", 1, 8), ("train", 8, 0)])
def test_every_case_of_a_capture_runs(tiny, phase, tokens, context):
    workload = Workload(model=tiny.ref, phase=phase, batch=1, tokens=tokens, context=context,
                        dtype=None)  # fmt: skip
    capture = CaptureSession(tiny.build(None)).capture(workload)
    suite = capture_cases(capture)
    out = sum(int(note.split()[0]) for note in suite.notes)
    assert len(suite.cases) + out == capture.keys
    assert any("views" in note for note in suite.notes)
    assert max(c.calls for c in suite.cases) > 1
    moved = [c.calls * traffic(c) for c in suite.cases]
    assert moved == sorted(moved, reverse=True)
    failed = []
    for one in suite.cases:
        built = build(one)
        try:
            inputs = built.make_inputs(torch.Generator().manual_seed(0), CPU)
        except CannotRun as refused:
            failed.append((one.op, refused.reason))
            continue
        result = built.run(*inputs)
        result = result if isinstance(result, torch.Tensor) else result[0]
        wanted = one.arguments["outputs"][0]
        assert list(result.shape) == wanted["shape"]
        assert str(result.dtype) == f"torch.{wanted['dtype']}"
    attention = "aten._scaled_dot_product_fused_attention_overrideable_backward.default"
    assert set(failed) <= {(attention, "unsupported-operator")}


def test_a_large_input_repeats_what_was_drawn(monkeypatch):
    from crossgrade.workloads.operators import overload_inputs

    monkeypatch.setattr(overload_inputs, "MOST_DRAWN", 5)
    (a, _), _ = run("aten.mul.Tensor", PAIR, tensor(3, 4), tensor(3, 4))
    flat = a.flatten()
    assert len(set(flat[:5].tolist())) == 5
    assert flat[5:10].tolist() == flat[:5].tolist()
    assert flat[10:].tolist() == flat[:2].tolist()
    assert torch.isfinite(a).all()
