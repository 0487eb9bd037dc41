"""The peers on the same machine: runs CrypTen and SPU through a folder of scripts, where their environments exist."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Case", "cases", "measure"]

Row = dict[str, Any]

#: Our links as the peers' link emulator names them: "link" takes Mbit/s, one-way microseconds and the queue in KB.
_LINKS = {"loopback": "lan", "lan": "link 1000 250 2048", "wan": "wan100", "wan1g": "wan1g"}
_NETS = ("lenet5", "minionn", "resnet32", "resnet18", "vgg16", "resnet50")
_ACTIVATIONS = ("relu", "poly4")
_TIMEOUT_S = 900


@dataclass(frozen=True)
class Case:
    """One peer on one net and link: "whole" makes randomness on the way, "split" measures offline and online apart."""

    system: str
    net: str
    activation: str
    link: str
    phase: str = "whole"


def cases(folder: Path, nets: Sequence[str], links: Sequence[str]) -> Iterator[Case]:
    """What can be run with the environments in `folder`: CrypTen's first party as dealer, and SPU's Semi2k alike.

    SPU runs on loopback alone, since its links take minutes a net; ResNet-50 only there too.
    """
    crypten, spu = ((folder / name / "bin" / "python").exists() for name in ("cry", "spu"))
    for net in (n for n in nets if n in _NETS):
        for link in (k for k in links if k == "loopback" or (k in _LINKS and net != "resnet50")):
            for activation in _ACTIVATIONS if net != "resnet50" else _ACTIVATIONS[:1]:
                if crypten:
                    yield Case("CrypTen", net, activation, link)
                if crypten and link == "loopback" and net != "resnet50":
                    yield Case("CrypTen", net, activation, link, "split")
                if spu and link == "loopback" and net != "resnet50":
                    yield Case("SPU Semi2k", net, activation, link)


def measure(case: Case, scripts: Path, folder: Path) -> list[Row]:
    """Run one case with the scripts in `scripts` and the environments in `folder`, which is named .peers.

    A row has the case's fields, `part` ("whole", "offline" or "online"), median and least seconds, megabytes both ways,
    the largest error and the share of the machine that others used; or `failed`, the last line of the output.
    """
    python, script, more = _command(case)
    with tempfile.TemporaryDirectory() as out:
        rows = Path(out) / "rows.jsonl"
        run = [
            sys.executable,
            str(scripts / "run.py"),
            "--net",
            _LINKS[case.link],
            "--prio",
            "none",
            "--out",
            str(rows),
        ]
        run += ["--python", str(folder / python / "bin" / "python"), "--", str(scripts / script), *more]
        run += [f"net:{case.net}:{case.activation}"]
        try:
            done = subprocess.run(
                run, cwd=folder.parent, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return [_row(case, failed=f"not done after {_TIMEOUT_S} s")]
        if done.returncode or not rows.exists():
            lines = done.stderr.strip().splitlines()
            return [_row(case, failed=lines[-1] if lines else "no output")]
        return [_read(case, json.loads(line)) for line in rows.read_text("utf-8").splitlines()]


def _command(case: Case) -> tuple[str, str, list[str]]:
    """The environment, the script and its options."""
    few = [] if case.link == "loopback" else ["--reps", "3", "--budget", "60"]
    if case.system == "CrypTen":
        return "cry", "bench_crypten.py", [*few, *(["--phase", "split"] if case.phase == "split" else [])]
    return "spu", "bench_spu.py", ["--prot", "SEMI2K", "--reps", "3", "--budget", "60", "--no-prof"]


def _row(case: Case, **more: Any) -> Row:
    fields = {"system": case.system, "net": case.net, "activation": case.activation, "link": case.link}
    return {**fields, "part": "whole", **more}


def _read(case: Case, raw: Row) -> Row:
    part = raw["case"].partition("/")[2] or "whole"
    figures = {"seconds": raw["wall_s"], "least_seconds": raw["min_s"], "megabytes": raw["mb"]}
    return _row(
        case, **{**figures, "part": part, "error": raw.get("x_err"), "others": raw["foreign"], "runs": raw["n"]}
    )
