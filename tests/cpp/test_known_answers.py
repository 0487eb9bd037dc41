"""Builds the kernels' C++ tests, plainly and under the sanitizers, and runs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def tool(name: str) -> str:
    """A build tool beside this Python, else one on the path."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("sanitize", ["OFF", "ON"])
def test_known_answers(sanitize: str, tmp_path: Path) -> None:
    options = ["-DTACIT_PYTHON=OFF", "-DTACIT_TESTS=ON", "-DTACIT_WERROR=ON", f"-DTACIT_SANITIZE={sanitize}"]
    for command in [
        [tool("cmake"), "-S", str(ROOT), "-B", str(tmp_path), *options],
        [tool("cmake"), "--build", str(tmp_path), "-j2"],
        [tool("ctest"), "--test-dir", str(tmp_path), "--output-on-failure", "--no-tests=error"],
    ]:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "100% tests passed" in done.stdout
