"""The cost model: seconds predicted from a bill, a link and the machine's measured rates."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tacit.errors import InvalidFile, InvalidInput
from tacit.net.shaper import Link

__all__ = ["Rates", "load_rates", "save_rates", "transfer_seconds"]


@dataclass(frozen=True)
class Rates:
    """What one machine does per second, both parties on it sharing its cores; `tacit bench --save` measures them.

    The defaults are those of two cores of a Zen 4 processor with AVX-512.

    macs          multiply-accumulates of linear layers and products, the operands out of cache
    evaluations   activations evaluated by one party (degree 4), with the copies and sums around them
    wire_bytes    bytes packed, encrypted, sent, received and unpacked
    draws         mask words expanded from a seed
    per_message   seconds a message costs beyond its bytes
    per_step      seconds a step of the plan costs beyond its work
    """

    macs: float = 2.3e10
    evaluations: float = 3.9e7
    wire_bytes: float = 5.7e8
    draws: float = 2.5e9
    per_message: float = 4.0e-5
    per_step: float = 7.5e-5

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if not isinstance(value, (int, float)) or not 0 < value < 1e15:
                raise InvalidInput(f"the rate {f.name} must be a positive number, not {value!r}")

    def compute(self, *, macs: int, evaluations: int, wire_bytes: int, messages: int, steps: int) -> float:
        """Seconds of work of both parties together, without the link."""
        return (
            macs / self.macs
            + 2 * evaluations / self.evaluations
            + wire_bytes / self.wire_bytes
            + messages * self.per_message
            + steps * self.per_step
        )


def transfer_seconds(link: Link, messages: int, wire_bytes: int) -> float:
    """Seconds on the link for `messages` that wait for each other, carrying `wire_bytes` in all."""
    rate = link.bandwidth_bits_per_s
    return messages * link.rtt_s / 2 + (wire_bytes * 8 / rate if rate else 0.0)


def save_rates(rates: Rates, path: Path) -> None:
    """Write `rates` as JSON."""
    path.write_text(json.dumps(asdict(rates), indent=2) + "\n", "utf-8")


def load_rates(path: Path) -> Rates:
    """Read rates written by `save_rates`; InvalidFile if they are not."""
    try:
        return Rates(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InvalidFile(f"{path} does not hold measured rates: {error}") from error
