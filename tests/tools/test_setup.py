"""The set-up scripts behind the Makefile: what they choose, and what they say when they cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one of the shell scripts with some variables set."""
    command = ["/bin/sh", str(TOOLS / script)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def printed_requirements(*extras: str) -> list[str]:
    """What tools/requirements.py prints."""
    command = [sys.executable, str(TOOLS / "requirements.py"), *extras]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_find_python_takes_the_one_that_is_named() -> None:
    result = run("find_python.sh", PYTHON=sys.executable)
    if result.returncode:  # this very Python may lack headers: then it must say so
        assert "lacks" in result.stderr
    else:
        assert result.stdout.strip() == sys.executable


def test_find_python_skips_one_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho 'is older than 3.11'\n")
    old.chmod(0o755)
    result = run("find_python.sh", PYTHON=str(old))
    assert result.returncode == 1
    assert result.stdout == ""
    assert f"{old}: is older than 3.11" in result.stderr
    assert "needs Python 3.11" in result.stderr


def test_find_python_without_any() -> None:
    result = run("find_python.sh", PYTHON="/nowhere/python3")
    assert result.returncode == 1
    assert "/nowhere/python3: not found" in result.stderr


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler here")
def test_check_compiler_accepts_a_good_one() -> None:
    result = run("check_compiler.sh", CXX="c++")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_check_compiler_without_any() -> None:
    result = run("check_compiler.sh", CXX="/nowhere/c++")
    assert result.returncode == 1
    assert "install g++ or clang" in result.stderr


def test_check_compiler_too_old() -> None:
    result = run("check_compiler.sh", CXX="false")
    assert result.returncode == 1
    assert "too old: false" in result.stderr


def test_run_time_requirements_are_light() -> None:
    lines = printed_requirements()
    assert lines == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert not any(line.startswith(("torch", "onnx", "matplotlib", "scipy")) for line in lines)


def test_extras_are_added_once() -> None:
    lines = printed_requirements("dev", "onnx")
    assert len(lines) == len(set(lines))
    assert any(line.startswith("pytest") for line in lines)
    assert sum(line.startswith("onnx") for line in lines) == 1


def test_the_tested_torch_satisfies_the_extra() -> None:
    pinned = (TOOLS / "torch-requirement.txt").read_text().strip()
    name, _, version = pinned.partition("==")
    assert name == "torch"
    lowest = next(line for line in printed_requirements("torch") if line.startswith("torch")).partition(">=")[2]
    assert [int(part) for part in version.split(".")] >= [int(part) for part in lowest.split(".")]
