"""The parts of `tacit query`: who answers, material made ahead with its cost, and what the answer cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit.cli._arrays import check_writable, load_arrays, save_arrays
from tacit.cli._console import Show, make_table, notices, progress_bars, results
from tacit.errors import InvalidInput
from tacit.ir.onehot import from_indices
from tacit.net.channel import Channel
from tacit.net.keys import peers
from tacit.run import material
from tacit.run.dealing import bundle_bytes
from tacit.run.online import needs_material
from tacit.secure.share import CLIENT
from tacit.service.client import Client

__all__ = ["Request", "introduce", "show_report"]

Arrays = list[NDArray[np.float64]]

_DIGITS = 16


@dataclass(frozen=True)
class Request:
    """What one `tacit query` asks for: `runs` made ready ahead and, unless `inputs` is None, predictions.

    file      where the inputs come from; `out`: where the outputs go, or None
    classes   how many of the largest classes are reported of each example
    """

    file: Path
    inputs: Arrays | None = field(repr=False)
    runs: int
    out: Path | None
    classes: int

    @classmethod
    def read(cls, file: Path | None, *, runs: int, ask: bool, out: Path | None, classes: int) -> Request:
        """Read and check what can be checked without the server. Raises InvalidInput, InvalidFile."""
        if ask and file is None:
            raise InvalidInput("give the input file, or --prepare-only N to make material ahead and ask nothing")
        if not ask and (file or out):
            raise InvalidInput("--prepare-only asks nothing, so it takes neither an input nor --out")
        if out is not None:
            check_writable(out)
        return cls(file or Path(), load_arrays(file) if file else None, runs, out, classes)

    def run(self, client: Client) -> dict[str, Any]:
        """Make material ahead, ask, write the outputs; returns the report's figures."""
        inputs = None if self.inputs is None else _fit(client, self.inputs, self.file)
        needed = 0 if inputs is None else -(-len(inputs[0]) // client.plan.batch)
        ahead = _prepare(client, max(self.runs, needed))
        report: dict[str, Any] = {}
        if inputs is not None:
            outputs, report = _answer(client, inputs)
            if self.out is not None:
                save_arrays(self.out, outputs)
            report["predictions"] = _top(outputs, self.classes)
            report["shapes"] = [list(array.shape) for array in outputs]
            report["outputs"] = None if self.out else [array.tolist() for array in outputs]
            report["out"] = None if self.out is None else str(self.out)
        return {"ahead_seconds": ahead.seconds, "ahead_bytes": ahead.bytes(), "stock": client.stock, **report}


@dataclass
class _Ahead:
    """What making material ahead of the run cost: seconds, and the bytes of every channel used for it."""

    seconds: float = 0.0
    channels: list[Channel] = field(default_factory=list, repr=False)

    def bytes(self) -> int:
        """Frame bytes of registering, dealing and priming, both directions."""
        counts = [c.meter.snapshot()[phase] for c in self.channels for phase in ("register", "deal", "prime")]
        return sum(count.bytes_sent + count.bytes_received for count in counts)


def introduce(client: Client, *, first: bool) -> dict[str, Any]:
    """Say on stderr who serves and who deals, and on the `first` use of a plan what it discloses; returns the names."""
    names = {peer.fingerprint: peer.name for peer in peers(client.home.path)}
    console = notices()
    deals = needs_material(client.plan)
    console.print(f"server {_party(names, client.server)}", soft_wrap=True)
    console.print(f"dealer {_party(names, client.dealer)}" if deals else "no dealer", soft_wrap=True)
    if first:
        console.print(
            f"plan   {client.plan.digest[:_DIGITS]}, used for the first time. Who learns what:", soft_wrap=True
        )
        for sentence in client.plan.disclosure.lines():
            console.print(f"       - {sentence}", soft_wrap=True)
    return {
        "plan": client.plan.digest,
        "server": client.server,
        "server_name": names.get(client.server),
        "dealer": client.dealer if deals else None,
        "dealer_name": names.get(client.dealer) if deals else None,
        "disclosure": client.plan.disclosure.lines(),
    }


def _party(names: dict[str, str], fingerprint: str) -> str:
    return f"{names.get(fingerprint, 'not enrolled')}, fingerprint {fingerprint[:_DIGITS] or 'none'}"


def _fit(client: Client, arrays: Arrays, file: Path) -> Arrays:
    """The inputs as the plan takes them: an array an input; a single example gets its batch axis.

    Raises InvalidInput, before any material is made for an input that cannot run.
    """
    wires = list(client.plan.inputs.values())
    if len(arrays) != len(wires):
        raise InvalidInput(f"{file} holds {len(arrays)} arrays, the model takes {len(wires)} inputs")
    rows = [from_indices(a, w.shape) for a, w in zip(arrays, wires, strict=True)]
    fitted = [a[None] if a.shape == w.shape[1:] else a for a, w in zip(rows, wires, strict=True)]
    for number, (array, wire) in enumerate(zip(fitted, wires, strict=True), 1):
        if array.shape[1:] != wire.shape[1:]:
            wanted = ("examples", *wire.shape[1:])
            shape = ", ".join(str(size) for size in wanted)
            raise InvalidInput(f"input {number} of {file} has shape {array.shape}, the model takes ({shape})")
    if len({len(array) for array in fitted}) != 1:
        raise InvalidInput(f"the inputs of {file} have different numbers of examples")
    return fitted


def _prepare(client: Client, runs: int) -> _Ahead:
    """Make at least `runs` runs ready, with progress bars on stderr."""
    ahead = _Ahead(channels=[client.channel])
    dial = client.dial_dealer
    if dial is not None:

        def metered() -> Channel:
            ahead.channels.append(dial())
            return ahead.channels[-1]

        client.dial_dealer = metered
    started = time.perf_counter()
    with progress_bars() as show:
        client.prepare(runs, progress=_shown(client, show))
    ahead.seconds = time.perf_counter() - started
    return ahead


def _shown(client: Client, show: Show) -> Callable[[str, int, int], None]:
    """`show` for `Client.prepare`: material counts in bytes, and what is dealt in keys too."""
    size = bundle_bytes(client.plan, CLIENT) if needs_material(client.plan) else 0
    density = material.evaluations(client.plan) / size if size else 0.0

    def tell(label: str, done: int, total: int) -> None:
        if label in ("dealing", "priming"):
            show(label, done, total, unit="B", keys=density if label == "dealing" else 0.0)
        else:
            show(label, done, total)

    return tell


def _answer(client: Client, inputs: Arrays) -> tuple[Arrays, dict[str, Any]]:
    """The outputs for `inputs`, and what the run cost."""
    before = client.channel.meter.snapshot()
    outputs = client.predict(*inputs)
    spent = (client.channel.meter.snapshot() - before)["online"]
    milliseconds = 1e3 * client.spent.seconds
    return outputs if isinstance(outputs, list) else [outputs], {
        "examples": len(inputs[0]),
        "runs": client.spent.runs,
        "online_ms": milliseconds,
        "online_ms_per_example": milliseconds / len(inputs[0]),
        "bytes_sent": spent.bytes_sent,
        "bytes_received": spent.bytes_received,
        "round_trips": spent.turns,
    }


def _top(outputs: Arrays, count: int) -> list[list[dict[str, Any]]] | None:
    """The `count` largest classes of each example of the first output; None unless that has two axes."""
    if outputs[0].ndim != 2:
        return None
    order = np.argsort(-outputs[0], axis=1, kind="stable")[:, :count]
    return [
        [{"class": int(place), "value": float(row[place])} for place in places]
        for row, places in zip(outputs[0], order, strict=True)
    ]


def show_report(report: dict[str, Any]) -> None:
    """Predictions as a table, then the cost in two lines."""
    console = results()
    if report.get("predictions") is not None:
        table = make_table("example", "class (value)", right=())
        for number, row in enumerate(report["predictions"], 1):
            table.add_row(str(number), ",  ".join(f"{p['class']} ({p['value']:.4g})" for p in row))
        console.print(table)
    for number, shape in enumerate(report.get("shapes", ()), 1):
        where = f", in {report['out']}" if report["out"] else ""
        console.print(f"output {number} has shape {tuple(shape)}{where}", soft_wrap=True)
    if "runs" in report:
        console.print(
            f"online {report['online_ms']:.1f} ms for {_counted(report['examples'], 'example')} in "
            f"{_counted(report['runs'], 'run')}: {_counted(report['round_trips'], 'round trip')}, "
            f"{report['bytes_sent']:,} B sent, {report['bytes_received']:,} B received",
            soft_wrap=True,
        )
    stock = _counted(report["stock"], "run")
    ahead = f"{report['ahead_seconds']:.2f} s, {report['ahead_bytes']:,} B"
    console.print(f"ahead  {ahead} for registering, dealing and priming; stock left: {stock}", soft_wrap=True)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count != 1 else ''}"
