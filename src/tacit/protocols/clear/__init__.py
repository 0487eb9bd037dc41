"""`clear`: the same words with no secrecy; the reference that other protocols are compared with, and a way to
debug a plan.
"""

from tacit.protocols.clear import kernels
from tacit.secure import hub
from tacit.secure.hub import local, scaled
from tacit.secure.protocol import Protocol, Threat

__all__ = ["PROTOCOL"]

PROTOCOL = Protocol(
    name="clear",
    parties=2,
    threat=Threat(
        statement="NOTHING is hidden: the server sees the client's input in the clear. For tests and debugging only.",
        hides=frozenset({"weights"}),
        assumes=(),
    ),
    kernels={
        "mask": kernels.mask,
        "remask": kernels.keep,
        "product": kernels.product,
        "offset": kernels.offset,
        "plus": kernels.plus,
        "local": local,
        "scaled": scaled,
        "open": kernels.open_clear,
        "poly": kernels.poly,
        "relu": kernels.relu,
        "fan": kernels.fan,
        "sign": kernels.sign,
        "choose": kernels.choose,
        "iota": hub.iota,
        "step": kernels.step,
        "spline": kernels.spline,
        "ranks": kernels.ranks,
        "labels": kernels.labels,
        "times": kernels.times,
        "reveal": kernels.reveal,
    },
)
