"""What the tests of the command line share: a tiny model, its files, three homes, and the commands themselves."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from tacit.cli import application

# A shell that starts the tests in the background has them ignore interrupts, and their processes would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tiny:
    """logits = (x W1 + b1)^2 W2 with 4 inputs and 3 outputs, as arrays and as an ONNX file."""

    first: Array
    bias: Array
    second: Array
    path: Path
    calibration: Path

    def clear(self, x: Array) -> Array:
        return np.square(x @ self.first + self.bias) @ self.second


@dataclass(frozen=True)
class Files:
    """A compiled model."""

    tiny: Tiny
    owner: Path
    public: Path


def save_onnx(path: Path, nodes: list[Any], tensors: dict[str, Array], shape: list[int], out: list[int]) -> Path:
    """An ONNX file with input x and output y."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Commands send logs to their stderr, which is gone after a test."""
    log = logging.getLogger("tacit")
    handlers, level = log.handlers, log.level
    yield
    log.handlers = handlers
    log.setLevel(level)


@pytest.fixture(scope="session")
def cli() -> Callable[..., Any]:
    """Run a command line in this process; the result has exit_code, stdout, stderr and exception."""

    def run(*words: object, **environment: str) -> Any:
        line = [str(word) for word in words]
        return CliRunner().invoke(application(line), line, env=environment, prog_name="tacit")

    return run


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The tiny model, with recognisable weights."""
    folder = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(5)
    first, bias, second = rng.normal(size=(4, 8)) / 2, rng.normal(size=8) / 4, rng.normal(size=(8, 3)) / 2
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Mul", ["h", "h"], ["a"]),
        helper.make_node("MatMul", ["a", "w2"], ["y"]),
    ]
    path = save_onnx(folder / "tiny.onnx", nodes, {"w1": first, "b1": bias, "w2": second}, [1, 4], [1, 3])
    calibration = folder / "calibration.npy"
    np.save(calibration, rng.uniform(-1, 1, size=(120, 4)))
    as_stored = [array.astype(np.float32).astype(np.float64) for array in (first, bias, second)]
    return Tiny(*as_stored, path=path, calibration=calibration)


@pytest.fixture(scope="session")
def files(tiny: Tiny, cli: Callable[..., Any]) -> Files:
    """The tiny model, compiled by the command."""
    owner = tiny.path.with_name("tiny.tacit")
    result = cli("compile", tiny.path, "--calibration", tiny.calibration, "-o", owner)
    assert result.exit_code == 0, result.stderr
    return Files(tiny, owner, tiny.path.with_name("tiny.public.tacit"))


def command_line(*words: object) -> list[str]:
    """The command as another process."""
    return [sys.executable, "-W", "error", "-m", "tacit.cli", *(str(word) for word in words)]


@contextmanager
def listening(folder: Path, *words: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A `deal` or `serve` process and its address, from its ready file; killed at the end if it still runs."""
    ready = folder / f"ready-{time.monotonic_ns()}"
    line = command_line(*words, "--port", 0, "--ready-file", ready)
    environment = {key: value for key, value in os.environ.items() if key != "TACIT_HOME"}
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process, _when_ready(process, ready)
        finally:
            process.kill()


def _when_ready(process: subprocess.Popen[str], ready: Path) -> str:
    while not ready.exists():
        if process.poll() is not None:
            raise AssertionError(process.communicate()[1])
        time.sleep(0.02)
    return ready.read_text("utf-8").strip()


def stop(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str, str]:
    """Signal a process: its exit status, stdout and stderr."""
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def one_sentence(result: Any, *parts: str, status: int = 1) -> None:
    """The command failed with `status` and told why in one line on stderr that has all `parts`."""
    assert result.exit_code == status, (result.stdout, result.stderr, result.exception)
    assert "Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    assert result.stderr.splitlines()[-1] == errors[0]
    for part in parts:
        assert part in errors[0], errors[0]
