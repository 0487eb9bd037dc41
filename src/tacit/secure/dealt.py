"""What the protocols of a client, a server and a dealer share: the hub's words and what they promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tacit.secure import hub
from tacit.secure.linear import product
from tacit.secure.opening import open_masked
from tacit.secure.protocol import Threat
from tacit.secure.share import Share

__all__ = ["THREAT", "WORDS"]

#: Sharing, linear layers, openings and the answer; a protocol adds what it evaluates at opened values.
WORDS: Mapping[str, Callable[..., Share]] = MappingProxyType(
    {
        "mask": hub.mask,
        "remask": hub.remask,
        "product": product,
        "offset": hub.offset,
        "plus": hub.plus,
        "local": hub.local,
        "scaled": hub.scaled,
        "open": open_masked,
        "reveal": hub.reveal,
    }
)

THREAT = Threat(
    statement=(
        "Inputs are hidden from the server, weights from the client, and both from the dealer, as long as every party "
        "follows the protocol."
    ),
    hides=frozenset({"input", "weights", "activations"}),
    assumes=(
        "nobody deviates from the protocol; a client that does can extract weights with few queries.",
        "the dealer colludes with neither party: with the client it would give the weights, with the server the "
        "inputs.",
    ),
)
