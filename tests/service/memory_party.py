"""A party in a process of its own that says at its end how much memory it ever held: run by test_memory.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tacit.plan.policy import ClientPolicy
from tacit.service import api


def peak() -> int:
    """The most bytes that this process ever had in memory (VmHWM)."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) << 10


def say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def listen(options: dict[str, Any]) -> None:
    """Deal or serve until the input ends."""
    common: dict[str, Any] = {"home": options["home"], "port": 0, "threads": 1, "insecure_plaintext": True}
    if options["role"] == "dealer":
        running = api.deal(**common)
    else:
        running = api.serve(options["plan"], dealer=options["dealer"], warm_bytes=0, **common)
    with running:
        say(address=running.address, peak=peak())
        sys.stdin.buffer.read()
    say(peak=peak())


def query(options: dict[str, Any]) -> None:
    """Make one run ready, then ask."""
    address, dealer, home = options["server"], options["dealer"], options["home"]
    policy = ClientPolicy(protocols=("masked", "fss"))
    common: dict[str, Any] = {"threads": 1, "insecure_plaintext": True, "warm_bytes": 0, "policy": policy}
    with api.connect(address, home=home, dealer=dealer, **common) as client:
        say(peak=peak())
        client.prepare(1)
        answer = client.predict(np.load(options["input"]), prepare=False)
        np.save(options["answer"], answer)
    say(peak=peak())


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    query(given) if given["role"] == "client" else listen(given)
