"""Classify real handwritten digits privately: dealer, server and client, three processes with three homes."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from tacit.cli._console import make_table, notices, print_json, progress_bars, results
from tacit.cli._demo_events import Measured, Metered
from tacit.cli._demo_homes import OUTPUT_FILE, OWNER_FILE, Sample, load_sample, make_homes
from tacit.cli._demo_parties import run_parties
from tacit.cli._demo_picture import save_picture
from tacit.cli._demo_verdict import LOGIT_MARGIN, NRMSE_MARGIN, Verdict, clear_logits, compare
from tacit.net.shaper import parse_link
from tacit.plan.plan import Plan
from tacit.plan.save import load_plan

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Outcome", "command"]

WHO_SAW = (
    "The server saw masked numbers, no digit and no prediction; the client saw its predictions, and no weight.",
    "The dealer saw the model's shape, and neither. All this if everyone follows the protocol and the dealer sides "
    "with nobody.",
)


@dataclass(frozen=True)
class Outcome:
    """One whole demo: what the parties measured and the verdict over the predictions.

    fetched   the material that the server fetched from the dealer, while the client waited to prime
    seconds   from the first certificate to the end of the last party
    """

    plan: Plan
    link: str
    measured: Measured
    fetched: Metered
    verdict: Verdict
    seconds: float
    picture: Path

    def data(self) -> dict[str, Any]:
        """Every figure under stable keys. Bytes are frame bytes above TLS, of all runs together; `offline` is register,
        deal and prime; `round_trips` is per run of `batch` images; `online_seconds` go from the first masked byte to
        the decoded answer, `claim_seconds` are the step before, in which both disks mark the material as used."""
        m, v = self.measured, self.verdict
        made = {**m.bytes_made, "deal": m.bytes_made["deal"] + self.fetched.dealt_bytes}
        offline = {
            "register": m.seconds["register"],
            "deal": m.seconds["deal"] + self.fetched.dealt_seconds,
            "prime": m.seconds["prime"] - self.fetched.dealt_seconds,
        }
        return {
            "images": v.images,
            "accuracy_private": v.accuracy_private,
            "accuracy_clear": v.accuracy_clear,
            "agreement": v.agreement,
            "online_ms_per_image": 1e3 * m.seconds["online"] / v.images,
            "bytes_sent_client": m.sent,
            "bytes_sent_server": m.received,
            "round_trips": m.turns / m.runs,
            "offline_bytes": sum(made.values()),
            "offline_seconds": sum(offline.values()),
            "trust": self.plan.settings["trust"],
            "within_margin": v.within,
            "logit_deviation": v.deviation,
            "logit_margin": LOGIT_MARGIN,
            "nrmse": v.nrmse,
            "nrmse_margin": NRMSE_MARGIN,
            "link": self.link,
            "batch": self.plan.batch,
            "runs": m.runs,
            "online_seconds": m.seconds["online"],
            "claim_seconds": m.seconds["claim"],
            **{f"{phase}_seconds": seconds for phase, seconds in offline.items()},
            **{f"{phase}_bytes": size for phase, size in made.items()},
            "seconds": self.seconds,
            "plan": self.plan.digest,
            "picture": str(self.picture),
        }


def _bytes(count: float) -> str:
    """A count of bytes for people, in decimal units."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def _table(outcome: Outcome) -> Table:
    """The figures, one a line, each with what it means."""
    d, v = outcome.data(), outcome.verdict
    runs = d["runs"]
    title = f"{v.images} handwritten digits in {runs} private runs of up to {d['batch']}, over TLS on {d['link']}"
    table = make_table("", "measured", "", right=(1,), title=title)

    def row(what: str, value: str, note: str = "") -> None:
        table.add_row(what, value, note)

    row("accuracy, private", f"{v.accuracy_private:.1%}")
    row("accuracy, in the clear", f"{v.accuracy_clear:.1%}", "the same model in float64")
    close = f"logits differ by {v.deviation:.1g} at most (margin {LOGIT_MARGIN:g}), nRMSE {v.nrmse:.1g}"
    row("agreement", f"{v.agreement:.1%}", close)
    row("online, per image", f"{d['online_ms_per_image']:.2f} ms", "from the first masked byte to the decoded answer")
    claim = f"and {1e3 * d['claim_seconds'] / runs:.1f} ms before it, to claim its material on both disks"
    row("online, per run", f"{1e3 * d['online_seconds'] / runs:.1f} ms", claim)
    row("client sends, per image", _bytes(d["bytes_sent_client"] / v.images), "masked values")
    row("server sends, per image", _bytes(d["bytes_sent_server"] / v.images), "masked values, no weights")
    row("round trips, per run", f"{d['round_trips']:g}", "one per activation layer, and one for the answer")
    whole = f"{_bytes(d['offline_bytes'])} and {d['offline_seconds']:.2f} s for all, before any image is used:"
    row("made ahead, per image", _bytes(d["offline_bytes"] / v.images), whole)
    notes = {
        "register": "masked weights to the client, once per model",
        "deal": "seeds to the client, material to the server",
        "prime": "masked presets to the server",
    }
    for phase, note in notes.items():
        row(f"  {phase}", f"{d[f'{phase}_seconds']:.2f} s", f"{_bytes(d[f'{phase}_bytes'])}: {note}")
    return table


def _report(outcome: Outcome) -> None:
    console = results()
    console.print(_table(outcome))
    for line in (*WHO_SAW, f"Some of the digits with their private predictions: {outcome.picture}"):
        console.print(line, soft_wrap=True)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """The folder of the three homes: `keep`, or a temporary one that is gone at the end."""
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="tacit-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C and a polite kill both unwind everything and end with status 130."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        notices().print("interrupted; all parties are stopped", soft_wrap=True)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(root: Path, sample: Sample, link: str, picture: Path) -> Outcome:
    """Homes, parties, then the verdict by whoever owns both the model and, here, the answers."""
    started = time.perf_counter()
    homes = make_homes(root, sample)
    with progress_bars() as show:
        measured, fetched = run_parties(homes, link, lambda event: show(event.stage, event.done, event.total))
    seconds = time.perf_counter() - started
    owned = load_plan(homes.of("server") / OWNER_FILE)
    private = np.load(homes.of("client") / OUTPUT_FILE, allow_pickle=False)
    verdict = compare(private, clear_logits(owned, sample.images.astype(np.float64)[:, None] / 16), sample.labels)
    save_picture(picture, sample.images, private.argmax(1), sample.labels)
    return Outcome(owned.public(), link, measured, fetched, verdict, seconds, picture)


def command(
    images: Annotated[int, typer.Option(help="How many of the 500 test images to classify.")] = 500,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
    link: Annotated[str, typer.Option(help='Line to emulate: loopback, lan, wan or "100mbit/40ms".')] = "loopback",
    keep: Annotated[Path | None, typer.Option(help="Keep the three homes in this new folder, to look into.")] = None,
    picture: Annotated[Path, typer.Option(help="Where to save the picture.")] = Path("tacit-demo.png"),
) -> None:
    """Classify real handwritten digits privately: dealer, server and client, three processes with three homes.

    Exit status 1 if a prediction differs from the clear reading beyond the stated margin. --json prints one object:
    images, accuracy_private, accuracy_clear, agreement, online_ms_per_image, bytes_sent_client, bytes_sent_server,
    round_trips, offline_bytes, offline_seconds, trust, and more.
    """
    sample, chosen = load_sample(images), parse_link(link).name
    with _stoppable(), _folder(keep) as root:
        outcome = _run(root, sample, chosen, picture)
    if as_json:
        print_json(outcome.data())
    else:
        _report(outcome)
    if not outcome.verdict.within:
        worst = ", ".join(map(str, outcome.verdict.beyond[:10])) or "none alone, all together"
        notices().print(f"predictions differ from the clear reading beyond the stated margin; images: {worst}")
        raise typer.Exit(1)
