"""`masked`: two parties, semi-honest, material made ahead; linear layers free online, polynomials in two messages."""

from tacit.protocols.masked.poly import poly
from tacit.secure import hub
from tacit.secure.linear import product
from tacit.secure.opening import open_masked
from tacit.secure.protocol import Protocol, Threat

__all__ = ["PROTOCOL"]

PROTOCOL = Protocol(
    name="masked",
    parties=2,
    threat=Threat(
        statement=(
            "Inputs are hidden from the server, weights from the client, and both from the dealer, as long as every "
            "party follows the protocol."
        ),
        hides=frozenset({"input", "weights", "activations"}),
        assumes=(
            "nobody deviates from the protocol; a client that does can extract weights with few queries.",
            "the dealer colludes with neither party: with the client it would give the weights, with the server "
            "the inputs.",
        ),
    ),
    kernels={
        "mask": hub.mask,
        "remask": hub.remask,
        "product": product,
        "offset": hub.offset,
        "plus": hub.plus,
        "local": hub.local,
        "scaled": hub.scaled,
        "open": open_masked,
        "poly": poly,
        "reveal": hub.reveal,
    },
)
