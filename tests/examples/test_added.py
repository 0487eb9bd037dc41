"""What the tutorials add, really added: in a copy of the package, as files in its folders, and held to its rules."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tacit

ROOT = Path(__file__).resolve().parents[2]
ADDED = ROOT / "examples" / "added"
FILES = sorted(path.relative_to(ADDED) for path in ADDED.rglob("*.py"))

CHECK = """
from pathlib import Path
import tacit
from tacit import ops
from tacit.testing.ops import check_op, private_ops
from tacit.testing.protocols import check_protocol, protocol_names
assert Path(tacit.__file__).is_relative_to(Path.cwd()), tacit.__file__
assert {"cumsum", "softshrink"} <= set(private_ops())
assert "aten.cumsum.default" in ops.adapters("aten")
assert "rounded" in protocol_names()
x = {"axis": 1, "length": 5}
check_op("cumsum", [lambda s: [s.op("cumsum", s.input(2, 5, 3), attrs=x)]])
check_op("softshrink", [lambda s: [s.op("softshrink", s.linear(s.input(2, 6), 5), attrs={"threshold": "1/3"})]])
check_protocol("rounded", Path("homes"))
"""


def test_files_put_into_a_copy_of_the_package_are_found_and_conform(tmp_path: Path) -> None:
    package = tmp_path / "tacit"
    shutil.copytree(Path(tacit.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "zoo"))
    assert not any((package / path).exists() for path in FILES)
    shutil.copytree(ADDED, package, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    words = [sys.executable, "-W", "error", "-c", CHECK]
    found = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(words, env=os.environ | found, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_files_keep_the_rules_of_the_package(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    lint = importlib.import_module("lint")
    source = lint.Source(f"src/tacit/{path.as_posix()}", (ADDED / path).read_text("utf-8"))
    assert lint.check(source) == []
