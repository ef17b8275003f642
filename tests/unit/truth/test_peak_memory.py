"""Peak memory of a capture against the allocations that PyTorch's profiler sees on the CPU.

The real step runs the factory's own sizes. Where the two differ, the CPU does something that the
capture rightly lacks: oneDNN asks the allocator for copies of weights and pictures in its own
layout around a convolution (5 % of the small ResNet's training step; more than half of a single
transposed convolution, which is why none is here).
"""

import pytest
from truthlib import captured_peak, measured_peak

CLOSE = 0.10


@pytest.mark.parametrize("phase", ["prefill", "train"])
@pytest.mark.parametrize(
    "name", ["perceptron", "transformer", "transformer_fused", "mixer", "encoder", "resnet"]
)
def test_peak_of_a_real_step(name, phase):
    ratio = captured_peak(name, phase) / measured_peak(name, phase)
    print(f"{name} {phase}: captured / measured = {ratio:.4f}")
    assert ratio == pytest.approx(1, abs=CLOSE)
