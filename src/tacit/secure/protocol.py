"""Protocol: a table of kernels with a threat statement; a declaration, not a class hierarchy."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tacit.errors import InvalidInput
from tacit.secure.share import Share

__all__ = ["Protocol", "Threat", "load_protocol"]


@dataclass(frozen=True)
class Threat:
    """What a protocol promises: `statement` is shown to users before a run; `hides` names what stays secret."""

    statement: str
    hides: frozenset[str]
    assumes: tuple[str, ...]


@dataclass(frozen=True)
class Protocol:
    """`kernels` maps the names of the basis (and of any op that the protocol has natively) to kernels."""

    name: str
    parties: int
    threat: Threat
    kernels: Mapping[str, Callable[..., Share]]


def load_protocol(name: str) -> Protocol:
    """The protocol in the folder `tacit.protocols.<name>`; InvalidInput if there is none."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise InvalidInput(f"{name!r} is not the name of a protocol")
    try:
        module = importlib.import_module(f"tacit.protocols.{name}")
    except ModuleNotFoundError as error:
        raise InvalidInput(f"there is no protocol called {name!r}") from error
    protocol = module.PROTOCOL
    if not isinstance(protocol, Protocol):
        raise InvalidInput(f"tacit.protocols.{name} declares no protocol")
    return protocol
