"""Run a model in floats, in a plan's integers and privately, side by side, and name the first layer that drifts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tacit.cli import _options as options
from tacit.cli._console import make_table, notices, print_json, printable, results
from tacit.cli._failures import FAILED

if TYPE_CHECKING:
    from rich.table import Table

    from tacit.drift.compare import Comparison
    from tacit.drift.ladder import Rung
    from tacit.ir.graph import Graph
    from tacit.plan.plan import Plan

__all__ = ["command"]


def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="An owner's .tacit, .onnx or .pt2 file, or file.py:name.")
    ],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Real inputs, .npy or .npz, examples first.")],
    reference: Annotated[
        str | None, typer.Option("--reference", help="The model that it should equal: a file or file.py:name.")
    ] = None,
    reference_inputs: Annotated[
        Path | None, typer.Option("--reference-inputs", help="DATA as the reference pipeline preprocesses it.")
    ] = None,
    reference_outputs: Annotated[
        Path | None, typer.Option("--reference-outputs", help="What the reference gives for its inputs.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="Policy to compile with, unless MODEL is a plan.")
    ] = None,
    batches: Annotated[int, typer.Option("--batches", min=1, help="Batches of DATA to run.")] = 4,
    limit: Annotated[
        float | None, typer.Option("--limit", help="nRMSE accepted; the plan's tolerance unless told.")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private/--no-private", help="Also the private run, all parties here.")
    ] = True,
    plot: Annotated[Path | None, typer.Option("--plot", help="Write a picture: .png, .svg or .pdf.")] = None,
    threads: options.Threads = 1,
    json: options.Json = False,
) -> None:
    """Compare layer by layer: reference model, imported model, its integers, the private run.

    The private run plays both parties in this process and puts their shares together: for testing, on your own data.
    nRMSE is sqrt(mean d²) over the wider range; "own" is a layer's part alone, from the inputs that reached it. Exit
    status: 0 no layer drifts, 1 one does, 2 wrong usage.

    Keys of `--json`: `drifts`, `first` (`layer`, `rung`, `kind`, `why`), `alarms` (all), `inputs` (preprocessing:
    `kind`, `what`, `fix`), `outputs`, `limit`, `examples`, `layers` (`layer`, `op`, `rungs`: `model`, `fixed`,
    `private`, each with `nrmse`, `max_error`, `sign_flips`, `own_nrmse`, `saturated`, `unexplained`, `broken`).
    """
    from tacit.cli._arrays import check_writable
    from tacit.drift.compare import compare

    if plot is not None:
        check_writable(plot)
    arrays = _arrays(data) or []
    with notices().status("running the model on every rung"):
        plan = _plan(model, arrays, policy)
        found = compare(
            plan,
            arrays,
            reference=_graph(reference, arrays) if reference else None,
            reference_inputs=_arrays(reference_inputs),
            reference_outputs=_arrays(reference_outputs),
            private=private,
            limit=limit,
            batches=batches,
            threads=threads,
        )
    _report(found, plot, json)


def _report(found: Comparison, plot: Path | None, json: bool) -> None:
    from tacit.drift.plot import save_plot

    if plot is not None:
        save_plot(found, plot)
    if json:
        print_json(found.data())
    else:
        _show(found)
    if found.first is not None:
        raise typer.Exit(FAILED)


def _arrays(path: Path | None) -> list[Any] | None:
    from tacit.cli._arrays import load_arrays

    return load_arrays(path) if path is not None else None


def _plan(model: str, arrays: list[Any], policy: Path | None) -> Plan:
    """The owner's plan of a file, or of a model compiled with the data as its calibration."""
    from tacit.cli._models import as_example, load_source
    from tacit.front.compile import compile_model
    from tacit.plan.policy import Policy
    from tacit.plan.save import load_plan

    if model.endswith(".tacit"):
        return load_plan(model)
    source = load_source(model)
    asked = Policy.from_toml(policy) if policy else Policy()
    example = as_example(source, [array[:1] for array in arrays])
    calibration = [tuple(arrays) if len(arrays) > 1 else arrays[0]]
    return compile_model(source, example, policy=asked, calibration=calibration)


def _graph(model: str, arrays: list[Any]) -> Graph:
    from tacit.cli._models import as_example, load_source
    from tacit.errors import InvalidInput
    from tacit.front.load import load_model
    from tacit.plan.save import load_plan

    if model.endswith(".tacit"):
        graph = load_plan(model).graph
        if graph is None:
            raise InvalidInput(f"{model} is the public half of a plan; give the owner's file")
        return graph
    source = load_source(model)
    return load_model(source, as_example(source, [array[:1] for array in arrays]))


def _show(found: Comparison) -> None:
    console = results()
    console.print(_table(found))
    for assertion in found.inputs:
        console.print(f"preprocessing, {assertion.kind}: {assertion.what}; {assertion.fix}")
    for alarm in found.alarms[1:9]:
        console.print(f"also: {printable(str(alarm))}")
    if len(found.alarms) > 9:
        console.print(f"and {len(found.alarms) - 9} more alarms")
    console.print(printable(found.verdict()), style="red" if found.first else "green")


def _table(found: Comparison) -> Table:
    """A row a layer: nRMSE and own part on every rung, and what saturated or changed sign in the last."""
    names = list(found.rungs)
    heads = [head for name in names for head in (name, "own")]
    table = make_table("layer", "op", *heads, "max error", "beyond", "flips", right=range(2, 5 + len(heads)))
    marked = found.first.layer if found.first else None
    for node in found.layers:
        rungs = [found.rungs[name].get(node.id) for name in names]
        cells = [text for rung in rungs for text in _cells(rung)]
        last = next((rung for rung in reversed(rungs) if rung is not None), None)
        tail = ("", "", "") if last is None else (f"{last.whole.largest:.1e}", str(last.saturated or ""), _flips(last))
        name = node.id if len(node.id) <= 22 else "…" + node.id[-21:]
        style = "bold red" if node.id == marked else None
        table.add_row(printable(name), node.op, *cells, *tail, style=style)
    return table


def _cells(rung: Rung | None) -> tuple[str, str]:
    if rung is None:
        return "", ""
    if rung.broken:
        return "-", "broken"
    return tuple(f"{g.nrmse:.0e}" if math.isfinite(g.nrmse) else "inf" for g in (rung.whole, rung.own))  # type: ignore[return-value]


def _flips(rung: Rung) -> str:
    return f"{100 * rung.whole.flips / rung.whole.count:.1f}%" if rung.whole.flips else ""
