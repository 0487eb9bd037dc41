"""Turn a PyTorch or ONNX model into a plan: the owner's .tacit file, and the public one for clients and the dealer."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tacit.cli import _options as options
from tacit.cli._console import log_to_stderr, make_table, notices, print_json, results, warn
from tacit.errors import InvalidInput

if TYPE_CHECKING:
    from tacit.plan.plan import Plan
    from tacit.plan.policy import Policy

__all__ = ["command"]

#: Fewer calibration examples than this, or a smaller margin, are worth a warning.
_FEW, _SMALL_MARGIN = 100, 4.0


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An .onnx or .pt2 file, or file.py:name (executed).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The owner's file to write, with the weights.")],
    example: Annotated[
        list[str] | None,
        typer.Option("--example", help="Input shape, batch first (1,3,32,32; once an input), or file."),
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option("--calibration", help="Real inputs, .npy or .npz, examples first: ranges come of it.")
    ] = None,
    public: Annotated[
        Path | None, typer.Option("--public", help="The public file to write; NAME.public.tacit unless told.")
    ] = None,
    policy: Annotated[Path | None, typer.Option("--policy", help="The owner's policy, a TOML file.")] = None,
    trust: Annotated[str | None, typer.Option("--trust", help="dealer; or clear: no secrecy at all.")] = None,
    ring: Annotated[int | None, typer.Option("--ring", help="Bits, 16 to 64; 0: the planner picks.")] = None,
    ranges: Annotated[str | None, typer.Option("--ranges", help="calibrated or proven.")] = None,
    margin: Annotated[float | None, typer.Option("--margin", help="How far ranges reach beyond what was seen.")] = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Compile a model. All its problems are told at once, each with what to do instead.

    Options given here win over the policy file. Keys of `--json`: `plan` (digest), `commitment`, `trust`, `batch`,
    `inputs` (`shape`, `ring`, `scale`), `outputs` (shapes), `steps` (count by operation), `rings`, `ranges` (`grade`,
    `margin`, `examples`, `data`: their hash, `bounds` by layer), `failure_bound`, `files` (`owner`, `public`),
    `warnings`.
    """
    from tacit.cli._arrays import check_writable
    from tacit.cli._models import as_example, load_samples, load_source
    from tacit.front.compile import compile_model

    log_to_stderr(verbose)
    public = public or output.with_name(f"{output.name.removesuffix('.tacit')}.public.tacit")
    if public.absolute() == output.absolute():
        raise InvalidInput("the owner's and the public file need different names")
    check_writable(output)
    check_writable(public)
    asked = _policy(policy, trust=trust, ring=ring, ranges=ranges, margin=margin)
    inputs, data = load_samples(example or [], calibration)
    with notices().status("importing the model and observing ranges"):
        source = load_source(model)
        plan = compile_model(
            source, as_example(source, inputs), policy=asked, calibration=[tuple(data) if len(data) > 1 else data[0]]
        )
    plan.save(output)
    plan.save_public(public)
    summary = _summary(plan, output, public, len(data[0]))
    if json:
        print_json(summary)
    else:
        _show(summary)


def _policy(file: Path | None, **asked: Any) -> Policy:
    from tacit.plan.policy import Policy

    policy = Policy.from_toml(file) if file else Policy()
    return replace(policy, **{name: value for name, value in asked.items() if value is not None})


def _summary(plan: Plan, output: Path, public: Path, seen: int) -> dict[str, Any]:
    settings = plan.settings
    nodes = {step.site: step.node for step in plan.steps}
    inputs = [{"shape": list(w.shape), "ring": w.ring, "scale": str(w.scale)} for w in plan.inputs.values()]
    return {
        "plan": plan.digest,
        "commitment": plan.commitment,
        "trust": settings["trust"],
        "batch": plan.batch,
        "inputs": inputs,
        "outputs": [list(plan.wires[step.site].shape) for step in plan.outputs],
        "steps": dict(sorted(Counter(step.op for step in plan.steps).items())),
        "rings": sorted({wire.ring for wire in plan.wires.values()}),
        "ranges": {
            "grade": settings["ranges"],
            "margin": settings["margin"],
            "examples": seen,
            "data": settings["calibration"],
            "bounds": {nodes[site]: bound for site, bound in plan.ranges.items()},
        },
        "failure_bound": plan.bill().failure,
        "files": {"owner": str(output), "public": str(public)},
        "warnings": _warnings(plan, seen),
    }


def _warnings(plan: Plan, seen: int) -> list[str]:
    """What the owner should know before serving this plan."""
    said, settings = [], plan.settings
    if plan.disclosure.exposes_input:
        said.append("this plan hides nothing: the server sees the inputs; compile with --trust dealer to hide them")
    if settings["ranges"] == "calibrated":
        said.append(
            f"ranges are calibrated on {seen} examples: an input far outside of them gets a wrong answer unnoticed"
        )
        if seen < _FEW:
            said.append(f"{seen} examples are few to observe ranges on; give {_FEW} or more")
        if settings["margin"] < _SMALL_MARGIN:
            said.append(f"a margin of {settings['margin']:g} is small; {_SMALL_MARGIN:g} or more is advised")
    return said


def _show(summary: dict[str, Any]) -> None:
    ranges, files = summary["ranges"], summary["files"]
    largest = max(ranges["bounds"].items(), key=lambda item: item[1], default=("", 0.0))
    table = make_table("", "", right=())
    for number, given in enumerate(summary["inputs"], 1):
        table.add_row(f"input {number}", f"{given['shape']}, {given['ring']} bits, scale {given['scale']}")
    for number, shape in enumerate(summary["outputs"], 1):
        table.add_row(f"output {number}", f"{shape}")
    table.add_row("steps", ", ".join(f"{count} {op}" for op, count in summary["steps"].items()))
    table.add_row("rings", ", ".join(f"{ring} bits" for ring in summary["rings"]))
    table.add_row("ranges", f"{ranges['grade']}, largest {largest[1]:g} at {largest[0]}, margin {ranges['margin']:g}")
    table.add_row("gross error", f"below {summary['failure_bound']:.1e} in a run")
    table.add_row("plan", summary["plan"])
    table.add_row("commitment", summary["commitment"])
    table.add_row("owner's file", f"{files['owner']} (has the weights: keep it)")
    table.add_row("public file", f"{files['public']} (for clients and the dealer)")
    table.show_header = False
    results().print(table)
    for sentence in summary["warnings"]:
        warn(sentence)
