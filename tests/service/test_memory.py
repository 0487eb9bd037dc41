"""Nobody ever holds a bundle in memory, however large it is: not who makes it, nor who stores, primes and uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tacit.plan.save import save_owner
from tacit.run import material
from tacit.run.ahead import AHEAD_BYTES
from tacit.secure.share import CLIENT, SERVER
from tacit.testing.graphs import Sketch, plan_for, policy_for

CHILD = Path(__file__).with_name("memory_party.py")
LAYERS, WIDTH = 9, 800_000
#: Values of one layer in 64-bit words, and what the allocator keeps, beside parts.
OVERHEAD = 128 << 20


def start(stack: ExitStack, **options: Any) -> subprocess.Popen[str]:
    """A party; killed at the end if it still runs."""
    command = [sys.executable, str(CHILD), json.dumps(options)]
    process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    stack.callback(process.kill)
    return process


def line(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line that a party says."""
    assert process.stdout is not None
    said: dict[str, Any] = json.loads(process.stdout.readline())
    return said


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_peak_memory_is_bounded_by_parts_and_not_by_bundles(tmp_path: Path) -> None:
    s = Sketch(0)
    x = y = s.input(1, WIDTH)
    values = [np.clip(s.rng.normal(size=(1, WIDTH)), -3, 3)]
    want = values[0]
    for _ in range(LAYERS):
        y = s.op("relu", s.op("sub", x, s.op("scale", y, attrs={"num": "1", "den": "2"})))
        want = np.maximum(values[0] - want / 2, 0)
    plan = plan_for(s.graph(y), policy_for("dealer", 32, window="exact"), values)
    save_owner(plan, tmp_path / "plan.tacit")
    np.save(tmp_path / "input.npy", values[0])
    sizes = {rank: [size for _, size in parts] for rank, parts in material.dealt_parts(plan).items()}
    assert min(sum(sizes[rank]) for rank in (CLIENT, SERVER)) > 4 * AHEAD_BYTES
    with ExitStack() as stack:
        homes = {name: str(tmp_path / name) for name in ("dealer", "server", "client")}
        parties = {"dealer": start(stack, role="dealer", home=homes["dealer"])}
        first = {"dealer": line(parties["dealer"])}
        common = {"dealer": first["dealer"]["address"], "plan": str(tmp_path / "plan.tacit")}
        parties["server"] = start(stack, role="server", home=homes["server"], **common)
        first["server"] = line(parties["server"])
        files = {"input": str(tmp_path / "input.npy"), "answer": str(tmp_path / "answer.npy")}
        server = first["server"]["address"]
        parties["client"] = start(stack, role="client", home=homes["client"], server=server, **common, **files)
        first["client"] = line(parties["client"])
        last = {"client": line(parties["client"])}
        for name in ("server", "dealer"):
            stdin = parties[name].stdin
            assert stdin is not None
            stdin.close()
            last[name] = line(parties[name])
    answer = np.load(tmp_path / "answer.npy")
    assert np.abs(answer - want).max() < 0.05
    bound = AHEAD_BYTES + 3 * max(*sizes[CLIENT], *sizes[SERVER]) + OVERHEAD
    grown = {name: last[name]["peak"] - first[name]["peak"] for name in last}
    print({name: f"{size / 2**20:.0f} MiB" for name, size in grown.items()}, f"bound {bound / 2**20:.0f} MiB")
    assert all(size < bound for size in grown.values()), (grown, bound)
