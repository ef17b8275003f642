"""What a measurement depends on, as flat facts: system, processor, versions, settings, our code.

Names no user and no host. Imports nothing that it tells the version of. Must not know measurements.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from crossgrade.environment.known import known

SETTINGS = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE",
    "KMP_AFFINITY", "GOMP_CPU_AFFINITY", "CUDA_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "TORCHINDUCTOR_FREEZING",
    "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_NPU_ALLOC_CONF", "CUDA_LAUNCH_BLOCKING",
    "ASCEND_LAUNCH_BLOCKING", "TASK_QUEUE_ENABLE", "NVIDIA_TF32_OVERRIDE",
)  # fmt: skip
"""Environment variables that change how fast an operator runs."""
DRIVERS = {
    "amdgpu_driver": "sys/module/amdgpu/version",
    "ascend_driver": "usr/local/Ascend/driver/version.info",
    "nvidia_driver": "sys/module/nvidia/version",
}
"""Fact -> file with the version of a kernel driver; one that comes with the kernel has none."""
MEASURING = ("measure", "targets", "jobs", "workloads/operators", "serving", "values")
"""Folders of ours whose code decides a number."""


def fingerprint(env: Mapping[str, str] = os.environ, root: Path = Path("/")) -> dict[str, str]:
    """Return facts by name, in order; what is not known is left out."""
    return {name: value for name, value in _facts(env, root) if value}


def _facts(env: Mapping[str, str], root: Path) -> Iterator[tuple[str, str]]:
    yield "crossgrade", _version("crossgrade")
    yield "code_sha256", code_digest()
    yield "platform", platform.system()
    yield "kernel", platform.release()
    yield "machine", platform.machine()
    yield "python", f"{platform.python_implementation()} {platform.python_version()}"
    yield "cpu", _cpu_name(root)
    yield "cpus", str(_usable_cpus())
    yield "governor", _read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    yield "turbo_off", _read(root / "sys/devices/system/cpu/intel_pstate/no_turbo")
    for name, path in DRIVERS.items():
        yield name, " ".join(_read(root / path).partition("\n")[0].split())
    yield "hypervisor", "yes" if "hypervisor" in _read(root / "proc/cpuinfo").split() else ""
    yield "container", "yes" if (root / ".dockerenv").exists() else ""
    for package in known().packages:
        yield package.distribution, _version(package.distribution)
    for name in SETTINGS:
        yield f"${name}", env.get(name, "")


@cache
def code_digest() -> str:
    """Return the SHA-256 over the source files that decide a number."""
    base = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for folder in MEASURING:
        for path in sorted((base / folder).rglob("*.py")):
            digest.update(path.relative_to(base).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _cpu_name(root: Path) -> str:
    for line in _read(root / "proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
