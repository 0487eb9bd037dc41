"""Show the nets that ship with their sizes and bills on LAN and WAN, or compile one of them into a plan."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tacit.cli import _options as options
from tacit.cli._console import make_table, notices, print_json, results
from tacit.errors import InvalidInput

if TYPE_CHECKING:
    from tacit.plan.cost import Rates
    from tacit.plan.plan import Plan

__all__ = ["command"]

_LINKS = ("lan", "wan")
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def command(
    name: Annotated[str | None, typer.Argument(metavar="[NET]", help="The net to show or compile; none: all.")] = None,
    output: Annotated[
        Path | None, typer.Option("--out", "-o", help="Compile the net, and write the owner's file here.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Published weights, .pth or .safetensors; made ones without.")
    ] = None,
    policy: Annotated[Path | None, typer.Option("--policy", help="The owner's policy for --out, a TOML file.")] = None,
    rates: Annotated[
        Path | None, typer.Option("--rates", help="This machine's rates, as `tacit bench --save` writes them.")
    ] = None,
    json: options.Json = False,
) -> None:
    """List the nets with the bill of one inference, or compile one.

    Bills are for the published size, activations of 16 bits and values as answer; the narrower numbers that `tacit
    compile` picks where they are fine enough cost less. Only --out needs torch. A net compiled without --weights
    computes nothing useful: it is for measuring. Ranges are those of made inputs: before serving trained weights,
    compile them with `tacit compile` and real inputs.

    Keys of `--json`: `nets`, by name: `what` (the net and its paper), `parameters`, `inputs` (shapes), `macs`,
    `activations`, `turns` (one-way steps), `bytes_client`, `bytes_server` (sent online), `stored_client`,
    `stored_server`, `dealt`, `primed`, `registered` (bytes), `client_macs`, `messages`, `sites`, and `seconds`,
    predicted, by link; with --out also `plan` (digest), `files` (`owner`, `public`) and `predicted_seconds` by link.
    """
    from tacit import zoo
    from tacit.plan.cost import load_rates

    if name is not None and name not in zoo.names():
        raise InvalidInput(f"there is no net {name!r} in the zoo; there are {', '.join(zoo.names())}")
    if output is None and (weights or policy):
        raise InvalidInput("--weights and --policy are for compiling; say with --out where to write the plan")
    speed = load_rates(rates) if rates else None
    if output is not None:
        if name is None:
            raise InvalidInput(f"say which net to compile: one of {', '.join(zoo.names())}")
        _compile(name, output, weights, policy, speed, json)
        return
    rows = _rows([name] if name else zoo.names(), speed)
    if json:
        print_json({"nets": rows})
    else:
        _show(rows)


def _rows(names: list[str], rates: Rates | None) -> dict[str, dict[str, Any]]:
    """The expected bill of each net as JSON data."""
    from tacit import zoo
    from tacit.net.shaper import parse_link
    from tacit.zoo.bills import expected

    facts = expected()
    return {
        name: {
            "what": zoo.describe(name),
            **asdict(facts[name]),
            "seconds": {link: facts[name].seconds(parse_link(link), rates) for link in _LINKS},
        }
        for name in names
    }


def _show(rows: dict[str, dict[str, Any]]) -> None:
    columns = ("params", "MACs", "activations", "steps", "online B", "stored B", *(f"{link} s" for link in _LINKS))
    table = make_table("net", *columns, title="one inference of each net, published size, activations of 16 bits")
    for name, row in rows.items():
        numbers = (row["parameters"], row["macs"], row["activations"])
        sizes = (row["bytes_client"] + row["bytes_server"], row["stored_client"] + row["stored_server"])
        seconds = (f"{row['seconds'][link]:.2f}" for link in _LINKS)
        table.add_row(name, *map(_short, numbers), str(row["turns"]), *map(_short, sizes), *seconds)
    console = results()
    console.print(table)
    for name, row in rows.items():
        console.print(f"{name}: {row['what']}")


def _short(count: int) -> str:
    """Three digits and a letter: 25.6M."""
    for unit, letter in _UNITS:
        if count >= unit:
            scaled = count / unit
            return f"{scaled:.{max(0, 2 - len(str(int(scaled))) + 1)}f}{letter}"
    return str(count)


def _compile(
    name: str, output: Path, weights: Path | None, policy: Path | None, rates: Rates | None, json: bool
) -> None:
    """Compile the net and write both files."""
    from tacit import zoo
    from tacit.cli._arrays import check_writable
    from tacit.front.compile import compile_model
    from tacit.plan.policy import Policy
    from tacit.zoo.published import load_weights

    public = output.with_name(f"{output.name.removesuffix('.tacit')}.public.tacit")
    check_writable(output)
    net = zoo.load(name)
    with notices().status(f"making and compiling {name}"):
        if weights is None:
            model = net.published.model()
        else:
            model = net.published.build()
            load_weights(model, weights, beside=net.beside)
        asked = Policy.from_toml(policy) if policy else Policy()
        plan = compile_model(model, net.published.example(), policy=asked)
    plan.save(output)
    plan.save_public(public)
    report = {
        "nets": _rows([name], rates),
        "plan": plan.digest,
        "files": {"owner": str(output), "public": str(public)},
        "predicted_seconds": {link: plan.bill(link, rates=rates).seconds() for link in _LINKS},
    }
    if json:
        print_json(report)
    else:
        _tell(plan, report)


def _tell(plan: Plan, report: dict[str, Any]) -> None:
    seconds = ", ".join(f"{link} {value:.2f} s" for link, value in report["predicted_seconds"].items())
    results().print(
        f"plan {plan.digest}",
        f"predicted online: {seconds}",
        f"owner's file: {report['files']['owner']} (has the weights: keep it)",
        f"public file: {report['files']['public']} (for clients and the dealer)",
        sep="\n",
    )
