"""Serve models to clients without seeing their inputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tacit.cli import _options as options
from tacit.cli._console import log_to_stderr, results, warn
from tacit.cli._listening import run_until_signalled
from tacit.errors import InvalidInput

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from tacit.service.api import Running

__all__ = ["command"]


def command(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Owner's .tacit files; the first is offered.")],
    home: options.Home = options.DEFAULT_HOME,
    dealer: Annotated[str | None, typer.Option("--dealer", help="Address of the dealer, tacit://host:port.")] = None,
    host: options.Host = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen at; 0 for any free one.")] = 7070,
    threads: options.Threads = 2,
    quota_gib: options.Quota = 64.0,
    warm_gib: options.WarmGib = 2.0,
    link: options.Link = "loopback",
    max_clients: options.MaxClients = 64,
    idle_seconds: options.IdleSeconds = 600.0,
    step_seconds: options.StepSeconds = 60.0,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", min=1, max=65535, help="Prometheus page on this loopback port.")
    ] = None,
    dealer_name: options.DealerName = "dealer",
    ready_file: options.ReadyFile = None,
    insecure_plaintext: options.Plaintext = False,
    verbose: options.Verbose = False,
) -> None:
    """Serve one or more models until SIGINT or SIGTERM.

    Clients enrolled in the home may ask; a client that names no plan gets the first file's.
    """
    from tacit.service.api import serve
    from tacit.service.listen import Limits

    log_to_stderr(verbose)
    limits = Limits(max_clients, idle_seconds, step_seconds)

    def start() -> Running:
        return serve(
            files,
            home=home,
            dealer=dealer,
            host=host,
            port=port,
            threads=threads,
            quota_gib=quota_gib,
            warm_bytes=int(warm_gib * 2**30),
            limits=limits,
            link=link,
            dealer_name=dealer_name,
            insecure_plaintext=insecure_plaintext,
        )

    def announce(running: Running) -> None:
        _announce(running, files, home, dealer, metrics_port)

    run_until_signalled(start, announce, ready_file)


def _announce(running: Running, files: list[Path], home: Path, dealer: str | None, metrics_port: int | None) -> None:
    from tacit.service.server import Server

    if isinstance(running.party, Server):
        if metrics_port is not None:
            _publish(metrics_port, running.party.metrics.registry)
        _warn_if_own_dealer(home.expanduser(), {hosted.dealer for hosted in running.party.plans.values()})
    names = ", ".join(path.stem for path in files)
    source = f"dealer {dealer}" if dealer else "no dealer"
    results().print(f"serving {names} on {running.address}, {source}", soft_wrap=True)


def _publish(port: int, registry: CollectorRegistry) -> None:
    """The metrics over HTTP, on loopback only: they are the operator's."""
    from prometheus_client import start_http_server

    try:
        start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        where = f"port {port} of 127.0.0.1"
        raise InvalidInput(f"cannot show metrics at {where}: {error.strerror}; choose another port") from None


def _warn_if_own_dealer(home: Path, dealers: set[str]) -> None:
    """Clients refuse a server that is its own dealer; its operator should hear that first."""
    from tacit.net.keys import load_identity

    if not (home / "identity.pem").exists():
        return
    if load_identity(home).certificate.fingerprint in dealers:
        warn("the dealer has this server's own certificate, so clients will refuse it; use an independent dealer")
