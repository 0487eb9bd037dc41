"""Run a dealer, which makes material for servers and clients and sees neither inputs nor weights."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from tacit.cli import _options as options
from tacit.cli._console import log_to_stderr, progress_bars, results, warn
from tacit.cli._listening import run_until_signalled

__all__ = ["command"]


def command(
    home: options.Home = options.DEFAULT_HOME,
    host: options.Host = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen at; 0 for any free one.")] = 7071,
    threads: options.Threads = 1,
    quota_gib: options.Quota = 4.0,
    ahead_gib: Annotated[
        float, typer.Option("--ahead-gib", min=0.0, help="Most GiB of servers' material made before they ask.")
    ] = 1.0,
    link: options.Link = "loopback",
    max_clients: options.MaxClients = 64,
    idle_seconds: options.IdleSeconds = 600.0,
    step_seconds: options.StepSeconds = 60.0,
    ready_file: options.ReadyFile = None,
    insecure_plaintext: options.Plaintext = False,
    verbose: options.Verbose = False,
) -> None:
    """Run a dealer until SIGINT or SIGTERM.

    It works from public plans alone and serves the peers enrolled in its home. Whoever runs it must be independent of
    the models' owners and of the clients: with a server it could open inputs, with a client weights.
    """
    from tacit.service.api import Running, deal
    from tacit.service.dealer import Progress
    from tacit.service.listen import Limits

    log_to_stderr(verbose)
    limits = Limits(max_clients, idle_seconds, step_seconds)

    def start(show: Progress) -> Running:
        return deal(
            home=home,
            host=host,
            port=port,
            threads=threads,
            quota_gib=quota_gib,
            ahead_gib=ahead_gib,
            limits=limits,
            link=link,
            progress=show,
            insecure_plaintext=insecure_plaintext,
        )

    def announce(running: Running) -> None:
        warn("a model owner who runs the dealer voids the privacy of the clients' inputs; let a third party run it")
        if insecure_plaintext:
            warn("nothing is encrypted and anybody may connect")
        results().print(f"dealing on {running.address}", soft_wrap=True)

    with progress_bars(keep=False) as show:
        run_until_signalled(lambda: start(partial(show, unit="B")), announce, ready_file)
