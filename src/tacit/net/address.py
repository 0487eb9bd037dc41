"""Addresses: `tacit://host:port`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tacit.errors import InvalidInput

__all__ = ["DEFAULT_PORT", "SCHEME", "Address", "parse_address"]

SCHEME = "tacit://"
DEFAULT_PORT = 7070

_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[\w.-]+))(?::(?P<port>[0-9]{1,5}))?/?")


@dataclass(frozen=True)
class Address:
    """A host (name, IPv4 or IPv6 without brackets) and a TCP port; prints as `tacit://host:port`.

    Raises InvalidInput for a port that is not 0 to 65535.
    """

    host: str
    port: int = DEFAULT_PORT

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InvalidInput(f"there is no port {self.port}; choose one from 1 to 65535")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEME}{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Reads `tacit://host:port`, `host:port` or `host`; IPv6 addresses stand in brackets; the port defaults to 7070.

    Port 0 means "any free port" to a listener. Raises InvalidInput.
    """
    body = text.strip().removeprefix(SCHEME)
    match = _ADDRESS.fullmatch(body)
    if match is None:
        raise InvalidInput(f"{text!r} is not an address; write it as {SCHEME}host:port, an IPv6 host in [brackets]")
    return Address(match["six"] or match["host"], int(match["port"] or DEFAULT_PORT))
