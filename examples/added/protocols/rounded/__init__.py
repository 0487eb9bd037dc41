"""`rounded`: as `masked`, but the client learns each output four bits coarser than the plan could show it."""

from tacit.protocols.rounded.reveal import reveal

from tacit.secure import hub
from tacit.secure.linear import product
from tacit.secure.opening import open_masked
from tacit.secure.protocol import Protocol, Threat

__all__ = ["PROTOCOL"]

PROTOCOL = Protocol(
    name="rounded",
    parties=2,
    threat=Threat(
        statement=(
            "Inputs are hidden from the server, weights from the client, and both from the dealer, as long as every "
            "party follows the protocol; one answer tells the client the outputs four bits coarser than planned."
        ),
        hides=frozenset({"input", "weights", "activations"}),
        assumes=(
            "nobody deviates from the protocol; a client that does can extract weights with few queries.",
            "the dealer colludes with neither party: with the client it would give the weights, with the server "
            "the inputs.",
            "a client that asks the same question many times can average the answers to a finer one.",
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
        "reveal": reveal,
    },
)
