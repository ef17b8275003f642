"""The conformance suite over every target that ships; what one cannot do stands in
expectations.toml."""

from crossgrade.testing import TargetConformance


class TestCpu(TargetConformance):
    spec = "cpu"
    required = True


class TestCompiledCpu(TargetConformance):
    spec = "compile:cpu"


class TestOnnxRuntime(TargetConformance):
    spec = "onnxruntime"


class TestOpenVino(TargetConformance):
    spec = "openvino"


class TestNull(TargetConformance):
    spec = "null"
    simulated = True


class TestFaultyJitter(TargetConformance):
    spec = "faulty:jitter"
    simulated = True
