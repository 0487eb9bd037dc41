"""`rounded`: as `masked`, but the client learns each output four bits coarser than the plan could show it."""

from tacit.protocols.rounded.reveal import reveal

from tacit.secure import dealt
from tacit.secure.protocol import Protocol, Threat

__all__ = ["PROTOCOL"]

PROTOCOL = Protocol(
    name="rounded",
    parties=2,
    threat=Threat(
        statement=(
            f"{dealt.THREAT.statement.rstrip('.')}; one answer tells the client the outputs four bits coarser than "
            "planned."
        ),
        hides=dealt.THREAT.hides,
        assumes=(
            *dealt.THREAT.assumes,
            "a client that asks the same question many times can average the answers to a finer one.",
        ),
    ),
    kernels={**dealt.WORDS, "reveal": reveal},
)
