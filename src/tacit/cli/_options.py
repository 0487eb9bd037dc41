"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = [
    "DEFAULT_HOME",
    "DealerName",
    "Home",
    "Host",
    "IdleSeconds",
    "Json",
    "Link",
    "MaxClients",
    "Plaintext",
    "Quota",
    "ReadyFile",
    "StepSeconds",
    "Threads",
    "Verbose",
    "WarmGib",
]

DEFAULT_HOME = Path("~/.tacit")

Home: TypeAlias = Annotated[
    Path, typer.Option("--home", envvar="TACIT_HOME", help="Folder of this party's certificate, peers and material.")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of tables.")]
Verbose: TypeAlias = Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens to stderr.")]
Host: TypeAlias = Annotated[str, typer.Option("--host", help="Address to listen at; '' for every interface.")]
Threads: TypeAlias = Annotated[int, typer.Option("--threads", min=1, max=1024, help="Threads of each run's kernels.")]
Quota: TypeAlias = Annotated[float, typer.Option("--quota-gib", min=0.0, help="Most GiB of material kept.")]
WarmGib: TypeAlias = Annotated[
    float, typer.Option("--warm-gib", min=0.0, help="Most GiB of claimed material loaded before its runs.")
]
Link: TypeAlias = Annotated[
    str, typer.Option("--link", help="Emulate a line: lan, wan, wan1g, 100mbit/40ms. All parties must say the same.")
]
Plaintext: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--insecure-plaintext", help="No encryption and no certificates: for measurements on one machine only."
    ),
]
DealerName: TypeAlias = Annotated[str, typer.Option("--dealer-name", help="Name under which the dealer is enrolled.")]
ReadyFile: TypeAlias = Annotated[
    Path | None, typer.Option("--ready-file", help="Write the address here as soon as it listens, for scripts.")
]
MaxClients: TypeAlias = Annotated[int, typer.Option("--max-clients", help="Connections at once.")]
IdleSeconds: TypeAlias = Annotated[
    float, typer.Option("--idle-seconds", help="Silence between requests after which a peer is dropped.")
]
StepSeconds: TypeAlias = Annotated[
    float, typer.Option("--step-seconds", help="Silence within a run after which a peer is dropped.")
]
