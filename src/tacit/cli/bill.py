"""Show what a plan costs, before it runs: steps, bytes, material, failure bound, seconds, and who learns what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tacit.cli import _options as options
from tacit.cli._console import make_table, print_json, printable, results

if TYPE_CHECKING:
    from rich.table import Table

    from tacit.plan.bill import Bill

__all__ = ["command"]

_CLIENT, _SERVER, _DEALER = 0, 1, 2


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .tacit file, the owner's or the public one.")],
    network: Annotated[
        str, typer.Option("--network", help="Line to predict for: loopback, lan, wan, wan1g, or 100mbit/40ms.")
    ] = "loopback",
    rates: Annotated[
        Path | None, typer.Option("--rates", help="This machine's rates, as `tacit bench --save` writes them.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Show the bill of one run: exact bytes and steps per layer and phase, predicted seconds, the disclosure.

    Bytes are those of frames above TLS; C→S is what the client sends online, S→C the server; a failure bound is the
    probability that an activation is grossly wrong.

    Keys of `--json`:

    - `plan`, `trust`, `link`, `batch`: digest, who is trusted, the line, examples in one run;
    - `layers`: a list with `layer`, `ops`, `ring`, `online_steps`, `bytes` (by phase and sender), `stored_bytes`,
      `macs`, `client_macs`, `activations`, `failure_bound`, `predicted_seconds`;
    - `phases`: `register`, `deal`, `prime`, `online`, each with `bytes_from_client`, `..._server`, `..._dealer`;
    - `online_steps`, `round_trips`, `stored_bytes_client`, `stored_bytes_server`, `failure_bound`,
      `predicted_seconds`: of the whole run;
    - `disclosure`: sentences.
    """
    from tacit.plan.cost import load_rates
    from tacit.plan.save import load_plan

    plan = load_plan(file)
    bill = plan.bill(network, rates=load_rates(rates) if rates else None)
    statement = plan.disclosure.lines()
    if json:
        print_json({"plan": plan.digest, "trust": plan.settings.get("trust"), **bill.data(), "disclosure": statement})
        return
    console = results()
    console.print(_layers(bill))
    console.print(_phases(bill))
    console.print(
        f"online, {bill.link.name}: {bill.turns} one-way steps ({(bill.turns + 1) // 2} round trips), "
        f"{1e3 * bill.seconds():.1f} ms predicted for {_examples(bill.batch)}",
        f"material kept for one run: client {bill.stored(_CLIENT):,} B, server {bill.stored(_SERVER):,} B",
        *(f"why: {reason}" for reason in bill.reasons),
        f"probability that any activation of a run is grossly wrong: below {bill.failure:.1e}",
        sep="\n",
    )
    console.print("\nwho learns what", style="bold")
    for sentence in statement:
        console.print(f"- {sentence}")


def _examples(count: int) -> str:
    return f"{count} example{'s' if count != 1 else ''}"


def _layers(bill: Bill) -> Table:
    """A row a layer, and the total."""
    table = make_table(
        "layer", "ring", "steps", "C→S B", "S→C B", "prime B", "deal B", "stored B", "failure", "ms", title="layers"
    )
    for row, data in zip(bill.rows, bill.data()["layers"], strict=True):
        table.add_row(
            _short(row.node, row.ops),
            str(row.ring or ""),
            str(data["online_steps"] or ""),
            *(
                _count(n)
                for n in (
                    row.sent("online", _CLIENT),
                    row.sent("online", _SERVER),
                    row.sent("prime", _CLIENT) + row.sent("prime", _SERVER),
                    row.sent("deal", _DEALER),
                    sum(row.stored),
                )
            ),
            f"{row.failure:.0e}" if row.failure else "",
            f"{1e3 * data['predicted_seconds']:.2f}",
        )
    table.add_section()
    table.add_row(
        "total",
        "",
        str(bill.turns),
        _count(bill.sent("online", _CLIENT)),
        _count(bill.sent("online", _SERVER)),
        _count(bill.sent("prime", _CLIENT) + bill.sent("prime", _SERVER)),
        _count(bill.sent("deal", _DEALER)),
        _count(bill.stored(_CLIENT) + bill.stored(_SERVER)),
        f"{bill.failure:.0e}" if bill.failure else "",
        f"{1e3 * bill.seconds():.2f}",
    )
    return table


def _phases(bill: Bill) -> Table:
    """What each party sends in each phase."""
    from tacit.secure.cost import PHASES

    when = {"register": "once per client and plan", "deal": "per run, ahead", "prime": "per run, ahead"}
    table = make_table("phase", "when", "client sends B", "server sends B", "dealer sends B", right=(2, 3, 4))
    for phase in PHASES:
        sent = (_count(bill.sent(phase, rank)) for rank in (_CLIENT, _SERVER, _DEALER))
        table.add_row(phase, when.get(phase, "per run"), *sent)
    return table


def _count(number: int) -> str:
    """Bytes to the byte below a million, else in millions so that a row fits; `--json` is always exact."""
    if not number:
        return ""
    return f"{number:,}" if number < 1_000_000 else f"{number / 1e6:,.2f}M"


def _short(node: str, ops: str) -> str:
    """A layer's name that leaves room for the figures: its end says more than its start."""
    name = node if len(node) <= 18 else "…" + node[-17:]
    return f"{printable(name)}\n  {printable(ops)}"
