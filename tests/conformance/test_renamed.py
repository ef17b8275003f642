"""A device type that crossgrade has never heard of passes the suite like any other."""

import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

SUITE = Path(__file__).parent / "renamed" / "suite_renamed.py"


@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch registers devices from C++ alone",
)
def test_a_device_registered_by_an_extension_passes_the_suite():
    line = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "not slow", str(SUITE)]
    ran = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert "failed" not in ran.stdout
