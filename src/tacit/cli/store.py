"""Look at the offline material of a home, erase it, or accept a restored peer again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tacit.cli import _options as options
from tacit.cli._console import make_table, print_json, results
from tacit.errors import InvalidInput

if TYPE_CHECKING:
    from tacit.corr.store import Row, Store

__all__ = ["commands", "list_", "purge", "reset_peer"]

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def list_(
    home: options.Home = options.DEFAULT_HOME, quota_gib: options.Quota = 64.0, json: options.Json = False
) -> None:
    """List the stock of material by plan and peer.

    The quota is what `serve`, `deal` or `query` runs with. Keys of `--json`: `home`, `bytes`, `quota_bytes`, and
    `stock`, a list with `plan` (digest), `peer` (fingerprint), `peer_name` (null if not enrolled), `dealt`, `primed`,
    `claimed`, `erased` (bundles) and `bytes`.
    """
    folder = home.expanduser()
    with _opened(folder, quota_gib) as store:
        stock = _grouped(store.list(), _names(folder))
        used, quota = store.bytes_used, store.quota
    if json:
        print_json({"home": str(folder), "bytes": used, "quota_bytes": quota, "stock": stock})
        return
    table = make_table("plan", "peer", "dealt", "primed", "claimed", "erased", "bytes", right=(2, 3, 4, 5, 6))
    for line in stock:
        peer = line["peer_name"] or line["peer"][:16]
        counts = (f"{line[key]:,}" for key in ("dealt", "primed", "claimed", "erased", "bytes"))
        table.add_row(line["plan"][:16], peer, *counts)
    results().print(table if stock else "no material was ever here")
    results().print(f"{used:,} of {quota or 0:,} bytes are used")


def purge(home: options.Home = options.DEFAULT_HOME, yes: Yes = False) -> None:
    """Erase all material of a home: the way back into service for a store that was restored from a copy."""
    folder = home.expanduser()
    with _opened(folder) as store:
        alive = sum(count for state, count in store.count().items() if state != "erased")
        if not yes and not typer.confirm(f"Erase {alive} bundles in {folder}?", err=True):
            raise typer.Exit(1)
        results().print(f"{store.purge()} bundles are erased; every peer now has to run: tacit store reset-peer")


def reset_peer(
    peer: Annotated[str, typer.Argument(metavar="PEER", help="Name or fingerprint of the peer.")],
    home: options.Home = options.DEFAULT_HOME,
    yes: Yes = False,
) -> None:
    """Accept a peer again whose restored store was purged; material shared with it is erased here too."""
    folder = home.expanduser()
    known = {name: fingerprint for fingerprint, name in _names(folder).items()}
    fingerprint = known.get(peer, peer)
    with _opened(folder) as store:
        if peer not in known and fingerprint not in {row.peer for row in store.list()}:
            listed = ", ".join(sorted(known)) or "none"
            raise InvalidInput(f"{peer!r} is neither enrolled in {folder} nor known to its store; enrolled: {listed}")
        if not yes and not typer.confirm(f"Erase the material shared with {peer} and trust its store again?", err=True):
            raise typer.Exit(1)
        results().print(f"{store.reset_peer_epoch(fingerprint)} bundles are erased; {peer} is accepted again")


commands = (list_, purge, reset_peer)


def _opened(home: Path, quota_gib: float = 64.0) -> Store:
    """The store of a home that has one; looking must not make one."""
    from tacit.service.home import Home

    if not (home / "store").is_dir():
        raise InvalidInput(f"there is no store in {home}; name the home of a party that has run")
    return Home.at(home).store(quota_gib)


def _names(home: Path) -> dict[str, str]:
    """The enrolled peers' names by fingerprint."""
    from tacit.net.keys import peers

    return {peer.fingerprint: peer.name for peer in peers(home)}


def _grouped(rows: tuple[Row, ...], names: dict[str, str]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        start = {"plan": row.plan, "peer": row.peer, "peer_name": names.get(row.peer)}
        line = groups.setdefault(
            (row.plan, row.peer), {**start, "dealt": 0, "primed": 0, "claimed": 0, "erased": 0, "bytes": 0}
        )
        line[row.state] += 1
        line["bytes"] += row.bytes
    return list(groups.values())
