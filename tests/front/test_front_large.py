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
before, start, busy = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter(), time.process_time()
graph = from_torch(model, x)
seconds, busy = time.perf_counter() - start, time.process_time() - busy
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(f"{len(graph.nodes)} nodes in {seconds:.1f} s, {busy:.1f} s of processors; {before >> 10} MiB before", peak >> 10)
"""


@pytest.mark.slow
def test_resnet50(capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    with capsys.disabled():
        sys.stdout.write(f"\nResNet-50: {done.stdout.strip()} MiB at most\n")
    assert int(done.stdout.split()[-1]) <= 1536, "importing takes at most 1.5 GiB, torch and the model included"
