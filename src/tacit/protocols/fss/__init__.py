"""`fss`: exact activations at an opened value by function secret sharing; keys made ahead, two messages online."""

from tacit.protocols.fss.bit import labels_of, ranks, step
from tacit.protocols.fss.relu import choose, fan, relu
from tacit.protocols.fss.sign import sign
from tacit.protocols.fss.spline import spline
from tacit.protocols.fss.times import times
from tacit.secure import dealt, hub
from tacit.secure.protocol import Protocol

__all__ = ["PROTOCOL"]

PROTOCOL = Protocol(
    name="fss",
    parties=2,
    threat=dealt.THREAT,
    kernels={
        **dealt.WORDS,
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
    },
)
