"""Steps between captured corners are those that a capture gives."""

import itertools

import pytest
from truthlib import from_config, workload
from truthmodels import preset

from crossgrade.api import chip
from crossgrade.capture.run import CaptureSession
from crossgrade.predict.phase import predict, prepare
from crossgrade.predict.rescaling import Rescaling
from crossgrade.values.layout import Layout

BATCHES, CONTEXTS = (1, 64), (256, 4096)


class Steps:
    def __init__(self, config):
        self.session = CaptureSession(from_config(config))

    def at(self, batch, context):
        return prepare(self.session.capture(workload("decode", batch, 1, context)))

    def corners(self):
        return [self.at(b, c) for b, c in itertools.product(BATCHES, CONTEXTS)]


@pytest.fixture(scope="module")
def experts():
    steps = Steps(preset("qwen3-30b-a3b", num_hidden_layers=2))
    return steps, Rescaling(steps.corners(), steps.at(8, 1024))


@pytest.mark.parametrize(("batch", "context"), [(1, 256), (3, 700), (16, 3000), (64, 4096)])
@pytest.mark.parametrize("chips", [1, 8])
def test_times_are_those_of_a_capture(experts, batch, context, chips):
    steps, rescaling = experts
    layout = Layout(chips=chips)
    found = rescaling.at(batch, context).time_s(chip("h100"), layout)
    expected = predict(steps.at(batch, context), chip("h100"), layout).time_s
    assert found.low == pytest.approx(expected.low, rel=1e-4)
    assert found.high == pytest.approx(expected.high, rel=1e-4)


def test_experts_are_not_read_in_proportion_to_the_batch(experts):
    _, rescaling = experts
    steps = [rescaling.at(b, 256) for b in (1, 2, 64)]
    size = [sum(b * n for b, n, name in zip(s.fused.bytes, s.fused_counts, s.fused.labels,
                                            strict=True) if name == "_grouped_mm")
            for s in steps]  # fmt: skip
    # 8 of 128 experts for one sequence, all but 2 for 64.
    assert size[1] / size[0] == pytest.approx(1.94, abs=0.02)
    assert size[2] / size[0] == pytest.approx(126 / 7.8, abs=0.3)


def test_repeated_blocks_are_priced_once(experts):
    steps, rescaling = experts
    found, whole = rescaling.at(8, 1024), steps.at(8, 1024)
    assert found.eager_counts.sum() == len(whole.eager)
    assert len(found.eager.labels) < 0.7 * len(whole.eager)


def test_the_workload_says_what_it_stands_for(experts):
    found = experts[1].at(5, 1000).workload
    assert (found.batch, found.context, found.phase) == (5, 1000, "decode")


@pytest.mark.parametrize(("batch", "context"), [(65, 256), (1, 5000), (0, 256)])
def test_nothing_is_said_of_steps_outside(experts, batch, context):
    with pytest.raises(ValueError, match="not between"):
        experts[1].at(batch, context)


def test_a_window_that_ends_between_the_corners_is_seen():
    sizes = {"num_hidden_layers": 2, "layer_types": ["sliding_attention"] * 2,
             "sliding_window": 512, "use_sliding_window": True, "max_window_layers": 2}  # fmt: skip
    steps = Steps(preset("qwen3-0.6b", **sizes))
    with pytest.raises(ValueError, match=r"off|other kernels"):
        Rescaling(steps.corners(), steps.at(64, 600))


def test_corners_have_to_be_a_rectangle(experts):
    steps, _ = experts
    corners = steps.corners()
    with pytest.raises(ValueError, match="rectangle"):
        Rescaling([*corners[:3], steps.at(32, 4096)], corners[0])
