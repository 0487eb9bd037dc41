"""Measure what this machine does per second, for the predictions of `tacit bill --rates FILE`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tacit.cli import _options as options
from tacit.cli._console import make_table, print_json, progress_bars, results

__all__ = ["command"]

_UNITS = {
    "macs": ("multiply-accumulates of linear layers", "/s"),
    "evaluations": ("quartic activations, one party's part", "/s"),
    "wire_bytes": ("bytes packed, sent over TLS and unpacked", "B/s"),
    "draws": ("mask words expanded from a seed", "/s"),
    "per_message": ("a message beyond its bytes", "s"),
    "per_step": ("a step of a plan beyond its work", "s"),
}


def command(
    save: Annotated[Path | None, typer.Option("--save", help="Write the rates here, for `tacit bill --rates`.")] = None,
    threads: options.Threads = 2,
    json: options.Json = False,
) -> None:
    """Measure this machine's rates, both parties on it over loopback TLS, in some ten seconds.

    Let nothing else run meanwhile. Keys of `--json`: `macs`, `evaluations`, `wire_bytes`, `draws` (each a second),
    `per_message`, `per_step` (seconds), and `threads`, `cores`, `tiers`: how and where they were measured.
    """
    from tacit.cli._rates import cores, measure_rates
    from tacit.plan.cost import save_rates
    from tacit.ring import native

    with progress_bars() as show:
        rates = measure_rates(threads=threads, progress=show)
    if save is not None:
        save_rates(rates, save)
    figures = asdict(rates)
    if json:
        print_json({**figures, "threads": threads, "cores": cores(), "tiers": native.tiers()})
        return
    table = make_table("rate", "value", "unit", "of what", right=(1,))
    for name, value in figures.items():
        what, unit = _UNITS[name]
        table.add_row(name, f"{value:.3g}", unit, what)
    console = results()
    console.print(table)
    console.print(f"{threads} threads a party, {cores()} cores, best tier {native.tiers()[0]}")
    if save is not None:
        console.print(f"written to {save}; use them with: tacit bill FILE --rates {save}")
