"""`python -m crossgrade.chips.derive`: one subcommand per shipped table, `all` for all of them.

Must not know how a table is derived.
"""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import click

from crossgrade.chips.derive import in_tree as in_tree_module
from crossgrade.chips.derive import npu_api as npu_api_module
from crossgrade.chips.derive import onnx as onnx_module
from crossgrade.chips.derive import out_of_tree, statements
from crossgrade.chips.derive.sheet import Sheet
from crossgrade.chips.ops.rows import DATA, read_csv
from crossgrade.errors import BadOption, CrossgradeError

_FILE = click.Path(exists=True, path_type=Path)
_OUT = click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=DATA, help="Folder to write."
)
_DATA = click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="CROSSGRADE_DATA",
    help="Folder with op_support/ (or $CROSSGRADE_DATA).",
)
MATRIX = "aten_backend_matrix_torch2.15.csv"


@click.group()
def main() -> None:
    """Rebuild the operator tables from raw sources."""


def aten_bases(folder: Path) -> frozenset[str]:
    """Base operators of all shipped in-tree tables; in-place ones keep their underscore."""
    files = sorted(folder.glob("aten-*.csv"))
    if not files:
        raise BadOption("no aten-*.csv yet", hint="derive `in-tree` and `matrix` first")
    return frozenset(cells[0].partition(".")[0] for f in files for cells in read_csv(f).rows)


def torch_version(torch: Path | None) -> str:
    """Major.minor of the torch to read: from the wheel's name, else of the installed one."""
    if torch is None:
        return ".".join(importlib.metadata.version("torch").split(".")[:2])
    named = re.match(r"torch(?:_npu)?-(\d+\.\d+)", torch.name)
    if named is None:
        raise BadOption("the version of this torch is unknown", hint="give --version, as 2.13")
    return named.group(1)


def _write(sheet: Sheet, out: Path, stem: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    path = sheet.write(out, stem)
    click.echo(f"{path.name}: {len(sheet.rows)} rows, {path.stat().st_size} bytes")


def _support_folder(data: Path | None) -> Path:
    if data is None:
        raise BadOption("no raw data", hint="give --data or set CROSSGRADE_DATA")
    return data / "op_support"


@main.command("in-tree")
@click.option("--torch", type=_FILE, help="yaml, folder or wheel; default: the installed torch.")
@click.option("--version", help="Version of the table; default: found in name or metadata.")
@_OUT
def in_tree(torch: Path | None, version: str | None, out: Path) -> None:
    """CPU, CUDA, MPS (and XPU where it is in the tree) from native_functions.yaml."""
    version = version or torch_version(torch)
    _write(in_tree_module.in_tree(torch), out, f"aten-{version}")


@main.command()
@click.option("--torch", type=_FILE, help="yaml, folder or wheel; default: the installed torch.")
@_OUT
def core(torch: Path | None, out: Path) -> None:
    """The Core ATen opset from the tags in native_functions.yaml."""
    _write(in_tree_module.core(torch), out, "core-aten")


@main.command()
@click.argument("csv", type=_FILE)
@click.option("--version", required=True, help="PyTorch version of the matrix.")
@_OUT
def matrix(csv: Path, version: str, out: Path) -> None:
    """The in-tree table from a backend matrix csv."""
    _write(in_tree_module.from_matrix(csv), out, f"aten-{version}")


@main.command()
@click.argument("op_plugin", type=_FILE)
@click.argument("native", type=_FILE)
@_OUT
def npu(op_plugin: Path, native: Path, out: Path) -> None:
    """NPU from op_plugin_functions.yaml and npu_native_functions.yaml, all torch versions."""
    _write(out_of_tree.npu(op_plugin, native), out, "npu")


@main.command("npu-wheel")
@click.argument("wheel", type=_FILE)
@click.option("--version", help="torch version of the wheel; default: found in its name.")
@_OUT
def npu_wheel(wheel: Path, version: str | None, out: Path) -> None:
    """NPU from a torch_npu wheel: what one release registers."""
    version = version or torch_version(wheel)
    _write(out_of_tree.npu_wheel(wheel), out, f"npu-{version}")


@main.command("npu-api")
@click.argument("csv", type=_FILE)
@_OUT
def npu_api(csv: Path, out: Path) -> None:
    """SoC and dtype facts from the API pages of torch_npu; needs the in-tree tables in --out."""
    _write(npu_api_module.npu_api(csv, aten_bases(out)), out, "npu-api")


_LISTS = {
    "hpu": out_of_tree.hpu,
    "mlu": out_of_tree.mlu,
    "musa": out_of_tree.musa,
    "xla": out_of_tree.xla,
}


@main.command("list")
@click.argument("backend", type=click.Choice(sorted(_LISTS)))
@click.argument("yaml", type=_FILE)
@click.option("--version", help="Suffix of the file, where the table has several versions.")
@_OUT
def one_list(backend: str, yaml: Path, version: str | None, out: Path) -> None:
    """HPU, MUSA, MLU or XLA from the yaml list of the project."""
    _write(_LISTS[backend](yaml), out, f"{backend}-{version}" if version else backend)


@main.command()
@click.argument("yaml", type=_FILE)
@click.option("--torch", type=_FILE, help="yaml, folder or wheel; default: the installed torch.")
@click.option("--version", help="Version of that torch; default: found in name or metadata.")
@_OUT
def xpu(yaml: Path, torch: Path | None, version: str | None, out: Path) -> None:
    """XPU of a torch whose kernels stand in torch-xpu-ops, from xpu_functions.yaml."""
    version = version or torch_version(torch)
    _write(out_of_tree.xpu(yaml, torch), out, f"xpu-{version}")


@main.command("npu-lists")
@click.argument("supported", type=_FILE)
@click.argument("unsupported", type=_FILE)
@click.option("--version", required=True, help="torch version that the lists are for.")
@_OUT
def npu_lists(supported: Path, unsupported: Path, version: str, out: Path) -> None:
    """What the lists of the migration tool say, for comparison; needs the in-tree tables."""
    found = statements.migration(supported, unsupported, aten_bases(out), version)
    _write(found, out, "npu-lists")


@main.command("hpu-lists")
@click.argument("csv", type=_FILE)
@click.option("--version", required=True, help="Release of the bridge.")
@_OUT
def hpu_lists(csv: Path, version: str, out: Path) -> None:
    """What the bridge's list of core aten operators says, for comparison."""
    _write(statements.core_aten(csv, version), out, "hpu-lists")


@main.command()
@click.argument("kernels", type=_FILE)
@click.option("--provider", "providers", type=(str, _FILE), multiple=True, metavar="NAME FILE",
              help="C++ file of a provider that the page leaves out. Repeatable.")  # fmt: skip
@_OUT
def onnx(kernels: Path, providers: tuple[tuple[str, Path], ...], out: Path) -> None:
    """ONNX operators by provider, from docs/OperatorKernels.md and provider sources."""
    _write(onnx_module.onnx(kernels, dict(providers)), out, "onnx")


@main.command("all")
@click.option("--torch", type=_FILE, help="yaml, folder or wheel; default: the installed torch.")
@click.option("--version", help="Version of that torch; default: found in name or metadata.")
@click.option("--npu-wheel", "wheel", type=_FILE, help="torch_npu wheel; default: leave out.")
@_DATA
@_OUT
def everything(
    torch: Path | None, version: str | None, wheel: Path | None, data: Path | None, out: Path
) -> None:
    """Every table, from a torch and a folder of raw lists."""
    raw = _support_folder(data)
    version = version or torch_version(torch)
    _write(in_tree_module.in_tree(torch), out, f"aten-{version}")
    _write(in_tree_module.core(torch), out, "core-aten")
    _write(in_tree_module.from_matrix(raw / MATRIX), out, "aten-2.15")
    plugin, core = raw / "op_plugin_functions.yaml", raw / "npu_native_functions.yaml"
    _write(out_of_tree.npu(plugin, core), out, "npu")
    if wheel is not None:
        _write(out_of_tree.npu_wheel(wheel), out, f"npu-{torch_version(wheel)}")
    api = raw / "torch_npu_native_api_support.csv"
    _write(npu_api_module.npu_api(api, aten_bases(out)), out, "npu-api")
    for name, derive in _LISTS.items():
        suffix = {"xla": "native_functions", "hpu": "op"}.get(name, "functions")
        if (path := raw / f"{name}_{suffix}.yaml").is_file():
            _write(derive(path), out, name)


def run() -> None:
    """The program: a CrossgradeError becomes one line and its exit code."""
    try:
        main(prog_name="python -m crossgrade.chips.derive")
    except CrossgradeError as error:
        click.echo(str(error), err=True)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    run()
