"""Malformed models: altered ONNX and .tacit files give a typed error each, and never more memory than a limit."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tacit
from tacit.errors import TacitError
from tacit.front.load import load_model
from tacit.plan.policy import Policy
from tacit.testing.graphs import plan_for, residual_net


class Net(nn.Module):
    """A little of everything that a file can say: windows, shapes, parts, masks, a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.up = nn.Conv2d(2, 4, 3, padding=1), nn.ConvTranspose2d(4, 2, 2, 2)
        self.norm, self.cells = nn.BatchNorm2d(4), nn.GRU(6, 3, batch_first=True)
        self.register_buffer("mask", torch.arange(6) % 3 > 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.norm(self.conv(x)))
        y = nn.functional.interpolate(self.up(nn.functional.avg_pool2d(y, 2)), size=(4, 6), mode="bilinear")
        y = torch.where(self.mask, y[:, :1] + y.chunk(2, 1)[1], 0.5).flatten(1, 2)
        return self.cells(y)[0].mean(1)


def onnx_file() -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Net().eval(), (torch.zeros(1, 2, 4, 6),), file, opset_version=17, dynamo=False)
    return file.getvalue()


def tacit_file(folder: Path) -> bytes:
    graph, xs = residual_net(batch=1)
    plan_for(graph, Policy(), xs).save(folder / "whole.tacit")
    return (folder / "whole.tacit").read_bytes()


def mutations(whole: bytes, count: int, seed: int) -> list[bytes]:
    """Bits flipped, bytes replaced, parts cut out, repeated, moved or overwritten by numbers that are large."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(int(rng.integers(1, 6))):
            at, size = int(rng.integers(len(data))), int(rng.integers(1, 40))
            match int(rng.integers(6)):
                case 0:
                    data[at] ^= 1 << int(rng.integers(8))
                case 1:
                    data[at] = int(rng.integers(256))
                case 2:
                    del data[at : at + size]
                case 3:
                    data[at:at] = data[at : at + size]
                case 4:
                    data[at : at + 9] = b"\xff" * int(rng.integers(1, 10))
                case _:
                    data = data[: max(1, at)]
        made.append(bytes(data))
    return made


#: Beyond what the imports take: a file of a few kilobytes must not make more.
_ROOM = 2 << 30


def read_all(suffix: str, folder: str) -> None:
    """Reads every file of a folder with bounded memory; all but a typed error ends the process."""
    sizes = [int(n) * resource.getpagesize() for n in Path("/proc/self/statm").read_text().split()]
    resource.setrlimit(resource.RLIMIT_AS, (sizes[0] + _ROOM, sizes[0] + _ROOM))
    refused = 0
    for path in sorted(Path(folder).glob(f"*{suffix}")):
        try:
            (tacit.load if suffix == ".tacit" else load_model)(path)
        except TacitError:
            refused += 1
        except BaseException as error:
            raise SystemExit(f"{path.name}: {type(error).__name__}: {error}") from error
    sys.stdout.write(f"refused {refused}\n")


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("suffix", [".onnx", ".tacit"])
def test_altered_files(suffix: str, count: int, tmp_path: Path) -> None:
    """In a process of its own: a crash or a hang would be seen, and memory has a limit."""
    whole = onnx_file() if suffix == ".onnx" else tacit_file(tmp_path)
    folder = tmp_path / "altered"
    folder.mkdir()
    for number, data in enumerate(mutations(whole, count, seed=1)):
        (folder / f"{number:04}{suffix}").write_bytes(data)
    code = (
        f"import importlib.util as u; s = u.spec_from_file_location('m', {__file__!r}); m = u.module_from_spec(s); "
        f"s.loader.exec_module(m); m.read_all({suffix!r}, {str(folder)!r})"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, env=dict(os.environ), check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) > count * 0.6
