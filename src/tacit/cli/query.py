"""Ask a server for predictions without showing it the input."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tacit.cli import _options as options
from tacit.cli._console import log_to_stderr, print_json

__all__ = ["command"]


def command(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The server's, tacit://host:port.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="[INPUT]", help="A .npy or .npz file (an array an input), examples first.")
    ] = None,
    home: options.Home = options.DEFAULT_HOME,
    dealer: Annotated[str | None, typer.Option("--dealer", help="Address of the dealer, for more material.")] = None,
    policy: Annotated[Path | None, typer.Option("--policy", help="What this client accepts, a TOML file.")] = None,
    plan: Annotated[
        str, typer.Option("--plan", help="Digest of the plan to use; the server's first unless told.")
    ] = "",
    prepare: Annotated[int, typer.Option("--prepare", min=0, help="Make at least so many runs ready first.")] = 0,
    prepare_only: Annotated[int, typer.Option("--prepare-only", min=0, help="Make runs ready, and ask nothing.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Write the outputs here (.npy; .npz for several).")] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Classes to show of each example.")] = 1,
    threads: options.Threads = 2,
    quota_gib: options.Quota = 64.0,
    warm_gib: options.WarmGib = 2.0,
    link: options.Link = "loopback",
    server_name: Annotated[str, typer.Option("--server-name", help="Name the server is enrolled under.")] = "server",
    dealer_name: options.DealerName = "dealer",
    insecure_plaintext: options.Plaintext = False,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Ask for predictions. What the plan discloses is checked against the client's policy before anything is sent.

    Keys of `--json`: `plan`, `server`, `server_name`, `dealer`, `dealer_name`, `disclosure`; `ahead_seconds`,
    `ahead_bytes` (register, deal and prime), `stock` (runs left); and, unless `--prepare-only`: `examples`, `runs`,
    `online_ms`, `online_ms_per_example`, `bytes_sent`, `bytes_received`, `round_trips` (online), `predictions` (of each
    example the largest `class` and `value`; null if the first output has not two axes), `shapes`, `outputs` (null with
    `--out`), `out`.
    """
    from tacit.cli._query import Request, introduce, show_report
    from tacit.plan.policy import ClientPolicy
    from tacit.service.api import connect

    log_to_stderr(verbose)
    request = Request.read(file, runs=max(prepare, prepare_only), ask=not prepare_only, out=out, classes=top)
    accepted = ClientPolicy.from_toml(policy) if policy else ClientPolicy()
    known = {path.stem for path in (home.expanduser() / "plans").glob("*.tacit")}
    with connect(
        address,
        home=home,
        dealer=dealer,
        policy=accepted,
        plan=plan,
        threads=threads,
        quota_gib=quota_gib,
        warm_bytes=int(warm_gib * 2**30),
        link=link,
        server_name=server_name,
        dealer_name=dealer_name,
        insecure_plaintext=insecure_plaintext,
    ) as client:
        report = introduce(client, first=client.plan.digest not in known) | request.run(client)
    if json:
        print_json(report)
    else:
        show_report(report)
