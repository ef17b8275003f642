"""The example plug-in under the suite that ships; `pip install ./tests/plugin` installs it."""

from importlib import metadata

import pytest

from crossgrade.errors import UnknownTarget
from crossgrade.targets.registry import available_targets, open_target
from crossgrade.testing import TargetConformance

pytestmark = pytest.mark.skipif(
    not metadata.entry_points(group="crossgrade.targets", name="example"),
    reason="the example plug-in is not installed: pip install ./tests/plugin",
)


class TestExample(TargetConformance):
    spec = "example"
    required = True


def test_it_is_listed_with_its_package():
    row = next(row for row in available_targets(look=True) if row.name == "example")
    assert row.installed
    assert row.what == "plug-in of crossgrade-example-target"


def test_its_own_errors_pass_through():
    with pytest.raises(UnknownTarget, match="nothing after the colon"):
        open_target("example:0")
