"""`masked`: two parties, semi-honest, material made ahead; linear layers free online, polynomials in two messages."""

from tacit.protocols.masked.poly import poly
from tacit.secure import dealt
from tacit.secure.protocol import Protocol

__all__ = ["PROTOCOL"]

PROTOCOL = Protocol(name="masked", parties=2, threat=dealt.THREAT, kernels={**dealt.WORDS, "poly": poly})
