"""Tell everything that would stop a model or hurt: operations, ranges, cost, precision; for people and for CI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tacit.cli import _options as options
from tacit.cli._console import make_table, notices, print_json, printable, results
from tacit.cli._failures import FAILED
from tacit.errors import InvalidInput

if TYPE_CHECKING:
    from tacit.front.check import Report

__all__ = ["command"]

_STYLES = {"stops": "red", "hurts": "yellow", "note": ""}
_SHOWN_LAYERS = 8


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A .tacit, .onnx or .pt2 file, or file.py:name.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Real inputs, .npy or .npz, examples first; made ones if absent.")
    ] = None,
    example: Annotated[
        list[str] | None,
        typer.Option("--example", help="Input shape, batch first (1,3,32,32; once an input), or file."),
    ] = None,
    policy: Annotated[Path | None, typer.Option("--policy", help="The owner's policy, a TOML file.")] = None,
    network: Annotated[
        str, typer.Option("--network", help="Line that the bill is for: lan, wan, 100mbit/40ms.")
    ] = "lan",
    fix: Annotated[
        Path | None, typer.Option("--fix", help="Write an .onnx file with what can be replaced replaced.")
    ] = None,
    replace: Annotated[
        list[str] | None, typer.Option("--replace", help="With --fix: OLD=NEW, such as Elu=Relu or Softmax=Identity.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for what hurts, too.")] = False,
    json: options.Json = False,
) -> None:
    """Check a model: what stops it (operations, ranges), and what hurts (cost, precision), each with advice.

    `--fix` replaces in an ONNX model what leaves the function as it is (old opsets, nodes and outputs that nobody
    reads, implicit padding), and with `--replace` operations that you name, which changes the function: train again.
    Exit status: 0 it runs, 1 it would not (or, `--strict`, something hurts), 2 wrong usage.

    Keys of `--json`: `runs`, `counts` (`stops`, `hurts`, `note`), `findings` (`severity`, `kind`, `where`, `what`,
    `advice`), `made_inputs`, `layers` (`layer`, `op`, `ring`, `range`, `online_bytes`, `stored_bytes`,
    `predicted_seconds`, `own_nrmse`, `saturated`), `bill` (null if it does not run), `fixed` (what --fix replaced).
    """
    if replace and fix is None:
        raise InvalidInput("--replace needs --fix OUT.onnx, the file to write")
    fixed = _fix(model, fix, replace or []) if fix is not None else []
    with notices().status("importing the model and measuring it"):
        report = _check(model if fix is None else str(fix), data, example or [], policy, network)
    if json:
        print_json({**report.data(), "fixed": fixed})
    else:
        _show(report, fixed)
    if not report.runs or (strict and report.count("hurts")):
        raise typer.Exit(FAILED)


def _fix(model: str, out: Path, asked: list[str]) -> list[str]:
    from tacit.cli._arrays import check_writable

    try:
        from tacit.front.repair import repair_file
    except ModuleNotFoundError as error:
        raise InvalidInput("--fix needs the package onnx, which is not installed; install it first") from error
    pairs = [tuple(text.split("=")) for text in asked]
    if any(len(pair) != 2 for pair in pairs):
        raise InvalidInput("--replace is OLD=NEW, such as Elu=Relu")
    check_writable(out)
    return repair_file(Path(model), out, dict(pairs))  # type: ignore[arg-type]


def _check(model: str, data: Path | None, examples: list[str], policy: Path | None, network: str) -> Report:
    from tacit.cli._arrays import load_arrays
    from tacit.cli._models import as_example, load_example, load_source
    from tacit.front.check import check_model
    from tacit.plan.policy import Policy
    from tacit.plan.save import load_plan

    arrays = load_arrays(data) if data else None
    if model.endswith(".tacit"):
        return check_model(load_plan(model), data=arrays, network=network)
    source: Any = load_source(model)
    given: Any = None
    if examples:
        given = as_example(source, load_example(examples))
    elif arrays:
        given = as_example(source, [array[:1] for array in arrays])
    asked = Policy.from_toml(policy) if policy else None
    return check_model(source, given, policy=asked, data=arrays, network=network)


def _show(report: Report, fixed: list[str]) -> None:
    console = results()
    for line in fixed:
        console.print(f"fixed: {printable(line)}")
    if report.findings:
        table = make_table("", "kind", "where", "what", "advice", right=())
        for f in report.findings:
            row = (f.severity, f.kind, printable(f.where), printable(f.what), printable(f.advice))
            table.add_row(*row, style=_STYLES[f.severity])
        console.print(table)
    if report.layers:
        _show_layers(report)
    runs = "runs privately" if report.runs else "would not run privately"
    console.print(
        f"this model {runs}: {report.count('stops')} stop it, {report.count('hurts')} hurt",
        style="green" if report.runs else "red",
    )


def _show_layers(report: Report) -> None:
    """The dearest layers, and the whole bill in a line."""
    table = make_table("dearest layers", "ring", "range", "online B", "stored B", "ms", "own nRMSE")
    for layer in sorted(report.layers, key=lambda x: -x.seconds)[:_SHOWN_LAYERS]:
        own = f"{layer.precision.nrmse:.0e}" if layer.precision.count else ""
        ring, reach = (str(layer.ring), f"{layer.range:g}") if layer.range else ("", "")
        size = (f"{layer.online_bytes:,}", f"{layer.stored_bytes:,}", f"{1e3 * layer.seconds:.2f}")
        table.add_row(printable(layer.layer), ring, reach, *size, own)
    console = results()
    console.print(table)
    if report.bill is not None:
        bill, stored = report.bill, sum(layer.stored_bytes for layer in report.layers)
        console.print(
            f"{bill.link.name}: {bill.turns} one-way steps, {1e3 * bill.seconds():.1f} ms, material {stored:,} B"
        )
