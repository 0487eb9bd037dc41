"""Make, show and enrol the certificates by which the parties know each other."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tacit.cli import _options as options
from tacit.cli._console import make_table, print_json, results, warn
from tacit.errors import InvalidInput

if TYPE_CHECKING:
    from tacit.net.keys import Certificate

__all__ = ["commands", "enrol", "forget", "list_", "make", "quick", "show"]

_PARTIES = ("client", "server", "dealer")


def make(
    name: Annotated[str, typer.Argument(metavar="NAME", help="How this party calls itself.")],
    home: options.Home = options.DEFAULT_HOME,
    hosts: Annotated[list[str] | None, typer.Option("--host", help="Host names to write into it, for readers.")] = None,
    days: Annotated[int, typer.Option("--days", help="Days for which it is valid.")] = 825,
    json: options.Json = False,
) -> None:
    """Make this home's key and certificate.

    Give certificate.pem of the home to the other parties, and nobody the rest. Keys of `--json`: as `show`.
    """
    from tacit.net.keys import make_identity

    folder = home.expanduser()
    _present(folder, make_identity(folder, name, hosts=tuple(hosts or ()), days=days).certificate, json)


def show(home: options.Home = options.DEFAULT_HOME, json: options.Json = False) -> None:
    """Show this home's certificate.

    Keys of `--json`: `home`, `certificate` (the file to give away), `name`, `fingerprint` (SHA-256, hex),
    `not_before`, `not_after` (ISO 8601), `expired`.
    """
    from tacit.net.keys import load_identity

    folder = home.expanduser()
    _present(folder, load_identity(folder).certificate, json)


def enrol(
    certificate: Annotated[Path, typer.Argument(metavar="CERTIFICATE", help="The other party's certificate.pem.")],
    name: Annotated[
        str, typer.Option("--as", help="What this home calls the party: query and serve look for server and dealer.")
    ],
    home: options.Home = options.DEFAULT_HOME,
    json: options.Json = False,
) -> None:
    """Trust another party's certificate, also in servers that run already.

    Compare the fingerprint with the one its owner reads out to you. Keys of `--json`: `name`, `fingerprint`,
    `not_before`, `not_after`, `expired`.
    """
    import tacit.net.keys as keys

    found = keys.enrol(home.expanduser(), certificate, name)
    if json:
        print_json(_data(found))
        return
    results().print(f"{found.name} is enrolled with fingerprint {found.fingerprint}", soft_wrap=True)


def forget(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The enrolled party.")],
    home: options.Home = options.DEFAULT_HOME,
) -> None:
    """Stop trusting an enrolled party; connections that are open stay."""
    import tacit.net.keys as keys

    keys.forget(home.expanduser(), name)
    results().print(f"{name} is enrolled no longer")


def list_(home: options.Home = options.DEFAULT_HOME, json: options.Json = False) -> None:
    """List the enrolled parties.

    Keys of `--json`: `home`, and `peers`, a list with `name`, `fingerprint`, `not_before`, `not_after`, `expired`.
    """
    from tacit.net.keys import peers

    folder = home.expanduser()
    found = peers(folder)
    if json:
        print_json({"home": str(folder), "peers": [_data(peer) for peer in found]})
        return
    table = make_table("name", "valid until", "fingerprint", right=())
    for peer in found:
        end = f"{peer.not_after:%Y-%m-%d}"
        table.add_row(peer.name, f"{end}, expired" if _expired(peer) else end, peer.fingerprint)
    results().print(table if found else f"nobody is enrolled in {folder}")


def quick(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the three homes go.")],
    json: options.Json = False,
) -> None:
    """Make homes of a client, a server and a dealer that are enrolled with each other, to try things on one machine.

    Keys of `--json`: `client`, `server`, `dealer`, each with the keys of `show`.
    """
    from tacit.net.keys import enrol as enrol_certificate
    from tacit.net.keys import make_identity

    homes = {name: folder.expanduser() / name for name in _PARTIES}
    taken = [str(home) for home in homes.values() if (home / "identity.pem").exists()]
    if taken:
        raise InvalidInput(f"there is an identity in {', '.join(taken)} already; choose another folder")
    made = {name: make_identity(home, name).certificate for name, home in homes.items()}
    for name, home in homes.items():
        for other in _PARTIES:
            if other != name:
                enrol_certificate(home, made[other].pem, other)
    if json:
        print_json({name: _shown(homes[name], made[name]) for name in _PARTIES})
        return
    table = make_table("party", "home", "fingerprint", right=())
    for name in _PARTIES:
        table.add_row(name, str(homes[name]), made[name].fingerprint)
    results().print(table)
    warn("one user holds all three keys: this is for trying things, not for privacy")


commands = (make, show, enrol, forget, list_, quick)


def _present(home: Path, certificate: Certificate, json: bool) -> None:
    if json:
        print_json(_shown(home, certificate))
        return
    until = f"{certificate.not_after:%Y-%m-%d}"
    if _expired(certificate):
        warn(f"this certificate expired on {until}; move identity.pem away and make a new one")
    results().print(
        f"name         {certificate.name}",
        f"fingerprint  {certificate.fingerprint}",
        f"valid until  {until}",
        f"give away    {home / 'certificate.pem'}",
        sep="\n",
        soft_wrap=True,
    )


def _shown(home: Path, certificate: Certificate) -> dict[str, Any]:
    return {"home": str(home), "certificate": str(home / "certificate.pem"), **_data(certificate)}


def _data(certificate: Certificate) -> dict[str, Any]:
    return {
        "name": certificate.name,
        "fingerprint": certificate.fingerprint,
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "expired": _expired(certificate),
    }


def _expired(certificate: Certificate) -> bool:
    return datetime.now(UTC) > certificate.not_after
