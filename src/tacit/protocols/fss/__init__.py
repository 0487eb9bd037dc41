"""`fss`: exact activations at an opened value by function secret sharing; keys made ahead, two messages online."""

from tacit.protocols.fss.bit import labels_of, ranks, step
from tacit.protocols.fss.relu import choose, fan, relu
from tacit.protocols.fss.sign import sign
from tacit.protocols.fss.spline import spline
from tacit.protocols.fss.times import times
from tacit.secure import hub
from tacit.secure.linear import product
from tacit.secure.opening import open_masked
from tacit.secure.protocol import Protocol, Threat

__all__ = ["PROTOCOL"]

PROTOCOL = Protocol(
    name="fss",
    parties=2,
    threat=Threat(
        statement=(
            "Inputs are hidden from the server, weights from the client, and both from the dealer, as long as every "
            "party follows the protocol."
        ),
        hides=frozenset({"input", "weights", "activations"}),
        assumes=(
            "nobody deviates from the protocol; a client that does can extract weights with few queries.",
            "the dealer colludes with neither party: with the client it would give the weights, with the server the "
            "inputs.",
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
        "relu": relu,
        "fan": fan,
        "sign": sign,
        "choose": choose,
        "iota": hub.iota,
        "step": step,
        "spline": spline,
        "ranks": ranks,
        "labels": labels_of,
        "times": times,
        "reveal": hub.reveal,
    },
)
