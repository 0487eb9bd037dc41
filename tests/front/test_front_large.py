"""A large model: what importing it takes, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import resource, time, torch
from tacit.zoo import load
size = load("resnet50").published
model, x = size.build().eval(), torch.zeros(size.shapes[0])
from tacit.front.torch import from_torch
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
graph = from_torch(model, x)
seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(graph.nodes), f"{seconds:.1f}", before, peak)
"""


@pytest.mark.slow
def test_resnet50(capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    nodes, seconds, before, peak = done.stdout.split()
    with capsys.disabled():
        print(
            f"\nResNet-50: {nodes} nodes in {seconds} s; {int(before) >> 10} MiB before, {int(peak) >> 10} MiB at most"
        )
    assert int(peak) <= 1.5 * (1 << 20), "importing takes at most 1.5 GiB, torch and the model included"
