"""The peers on the same machine: runs CrypTen and SPU through a folder of scripts, where their environments exist."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

__all__ = ["ACTIVATIONS", "Case", "cases", "measure", "relu_cases"]

Row = dict[str, Any]

#: Our links as the peers' link emulator names them: "link" takes Mbit/s, one-way microseconds and the queue in KB.
_LINKS = {"loopback": "lan", "lan": "link 1000 250 2048", "wan": "wan100", "wan1g": "wan1g"}
_NETS = ("lenet5", "minionn", "resnet32", "resnet18", "vgg16", "resnet50")
#: Our activations as the peers' scripts name them.
ACTIVATIONS = {"relu": "relu", "quartic": "poly4"}
_SYSTEMS, _PHASES = ("CrypTen", "SPU Semi2k"), ("whole", "split")
_TIMEOUT_S = 900
#: The scheduling that serves each peer best, as the scripts name it and in words: real-time lets CrypTen's many small
#: messages wake their reader at once (its LeNet-5 takes half the time), and stalls SPU, whose threads spin.
_PRIORITY = {"CrypTen": ("rr", "real-time"), "SPU Semi2k": ("auto", "raised")}


@dataclass(frozen=True)
class Case:
    """One peer on one net and link: "whole" makes randomness on the way, "split" measures offline and online apart.

    `net` may also be "relu16" or "relu20", the ReLU of 2^16 or 2^20 shared values by itself.
    """

    system: str
    net: str
    activation: str
    link: str
    phase: str = "whole"

    @property
    def work(self) -> str:
        """What it runs, as the peers' scripts name it."""
        return f"net:{self.net}:{self.activation}" if self.net in _NETS else self.net

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the rows that it yields."""
        return ("offline", "online") if self.phase == "split" else ("whole",)


def cases(folder: Path, nets: Sequence[str], links: Sequence[str], activations: Sequence[str]) -> list[Case]:
    """What can be run with the environments in `folder`: CrypTen's first party as dealer, and SPU's Semi2k alike.

    SPU runs on loopback alone, since its links take minutes a net; ResNet-50 only there too.
    """
    named = [ACTIVATIONS[a] for a in activations]
    every = (Case(*fields) for fields in product(_installed(folder), nets, named, links, _PHASES))
    return [case for case in every if _sensible(case)]


def relu_cases(folder: Path, exponents: Sequence[int]) -> list[Case]:
    """The ReLU of 2^e shared values on loopback, for each exponent e, with the environments in `folder`."""
    every = (Case(s, f"relu{e}", "relu", "loopback", p) for s in _installed(folder) for e in exponents for p in _PHASES)
    return [case for case in every if case.system == "CrypTen" or case.phase == "whole"]


def _installed(folder: Path) -> list[str]:
    names = zip(_SYSTEMS, ("cry", "spu"), strict=True)
    return [system for system, name in names if (folder / name / "bin/python").exists()]


def _sensible(case: Case) -> bool:
    near, large = case.link == "loopback", case.net == "resnet50"
    if case.net not in _NETS or case.link not in _LINKS or (large and (not near or case.activation != "relu")):
        return False
    plain = near and not large
    return (plain if case.phase == "split" else True) if case.system == "CrypTen" else plain and case.phase == "whole"


def measure(case: Case, scripts: Path, folder: Path) -> list[Row]:
    """Run one case with the scripts in `scripts` and the environments in `folder`, which is named .peers.

    A row has the case's fields, `part` ("whole", "offline" or "online"), median and least seconds, megabytes both ways,
    the largest error and the share of the machine that others used; or `failed`, the reason. A case that fails is tried
    once more, since the peers' connections break now and then.
    """
    scripts, folder = scripts.resolve(), folder.absolute()
    rows = _attempt(case, scripts, folder)
    return _attempt(case, scripts, folder) if any("failed" in row for row in rows) else rows


def _attempt(case: Case, scripts: Path, folder: Path) -> list[Row]:
    python, script, more = _command(case)
    with tempfile.TemporaryDirectory() as out:
        rows = Path(out) / "rows.jsonl"
        run = [
            sys.executable,
            str(scripts / "run.py"),
            "--net",
            _LINKS[case.link],
            "--prio",
            _PRIORITY[case.system][0],
            "--out",
            str(rows),
            "--timeout",
            str(_TIMEOUT_S - 60),  # it ends the parties; ours would leave them
        ]
        run += ["--python", str(folder / python / "bin" / "python"), "--", str(scripts / script), *more]
        run += [case.work]
        try:
            done = subprocess.run(
                run, cwd=folder.parent, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return [_row(case, part=case.phase, failed=f"not done after {_TIMEOUT_S} s")]
        if done.returncode or not rows.exists():
            return [_row(case, part=case.phase, failed=_reason(done.stderr))]
        return [_read(case, json.loads(line)) for line in rows.read_text("utf-8").splitlines()]


def _reason(output: str) -> str:
    """The first line that names an error, of the party whose output comes first; the last line if none does."""
    lines = output.strip().splitlines() or ["no output"]
    return next((line for line in lines if "Error" in line), lines[-1])[:200]


def _command(case: Case) -> tuple[str, str, list[str]]:
    """The environment, the script and its options."""
    few = [] if case.link == "loopback" else ["--reps", "3", "--budget", "60"]
    if case.system == "CrypTen":
        return "cry", "bench_crypten.py", [*few, *(["--phase", "split"] if case.phase == "split" else [])]
    return "spu", "bench_spu.py", ["--prot", "SEMI2K", "--reps", "3", "--budget", "60", "--no-prof"]


def _row(case: Case, **more: Any) -> Row:
    fields = {"system": case.system, "net": case.net, "activation": case.activation, "link": case.link}
    return {**fields, "part": "whole", "scheduling": _PRIORITY[case.system][1], **more}


def _read(case: Case, raw: Row) -> Row:
    part = raw["case"].partition("/")[2] or "whole"
    figures = {"seconds": raw["wall_s"], "least_seconds": raw["min_s"], "megabytes": raw["mb"]}
    return _row(
        case, **{**figures, "part": part, "error": raw.get("x_err"), "others": raw["foreign"], "runs": raw["n"]}
    )
