"""Policy: what the owner permits and asks for; ClientPolicy: what a client accepts, checked before its first byte."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from tacit.errors import InvalidInput
from tacit.net.shaper import parse_link

__all__ = ["MAX_RING", "MIN_RING", "RINGS", "ClientPolicy", "Policy"]

#: A plan's rings have from MIN_RING to MAX_RING bits.
MIN_RING, MAX_RING = 16, 64
#: The rings that the planner picks from by itself.
RINGS = tuple(range(24, MAX_RING + 1, 2))


class _FromToml:
    """A frozen dataclass that can be read from a TOML file with no unknown keys."""

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read and check; InvalidInput names the file and the key that is wrong."""
        try:
            raw = tomllib.loads(Path(path).read_text("utf-8"))
        except OSError as error:
            raise InvalidInput(f"cannot read the policy {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"the policy {path} is not TOML: {error}") from error
        names = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(raw) - names)
        if unknown:
            raise InvalidInput(f"the policy {path} has unknown keys: {', '.join(unknown)}; known are {sorted(names)}")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
        try:
            return cls(**values)
        except TypeError as error:
            raise InvalidInput(f"the policy {path} has a value of the wrong kind: {error}") from error


def _whole(name: str, value: object, low: int, high: int, also: str = "") -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidInput(f"policy.{name} must be {also}a whole number from {low} to {high}, not {value!r}")


@dataclass(frozen=True)
class Policy(_FromToml):
    """What the owner permits.

    trust          "dealer": a third party makes material ahead and colludes with neither side; "none needed" does not
                   exist yet; "clear" runs with no secrecy at all, for tests
    input_bits     fraction bits of inputs and activations (f_x); 0 lets the planner pick the fewest within `tolerance`
    tolerance      error that the owner accepts, root mean square over that of the outputs, measured in integers on
                   calibration data; narrower numbers are faster everywhere, above all a ring of 32 bits
    weight_bits    fraction bits of weights (f_w) at least; the planner adds those that the ring leaves free, and may
                   take some away to meet a `ring` that is asked for, unless ranges are proven
    ring           bits of every ring, 16 to 64; 0 lets the planner pick the narrowest of RINGS for each segment
    ranges         "calibrated" (observed maximum x margin) or "proven" (worst case; only shallow nets pass)
    margin         how far beyond the observed maximum a calibrated range reaches; at least 1
    window         bits of a value that a sign test looks at: "auto" leaves out those below an activation's resolution,
                   which truncation drops too; "exact" none; a number w keeps the w highest, so that values up to
                   2^(2-w) of the range may have either sign
    tie            to which side such small values may be mistaken: "negpass" lets negative ones pass, "poszero" takes
                   positive ones for negative
    rounding       "stochastic" rounds up or down with the probability of the fraction cut off, "exact" always down
    reveal         what the client learns: "values", "argmax" (the label alone) or "top5" (any number of labels)
    network        the link that the plan is made for: "lan", "wan", "100mbit/40ms"; it decides between gates of few
                   messages and gates of few bytes
    smooth_bits    a smooth function is computed within 2^-smooth_bits over its whole range, relatively so where it has
                   a pole; or within four units of an activation's resolution, if that is more
    failure_bits   every activation's truncation fails with probability at most 2^-failure_bits
    """

    trust: str = "dealer"
    input_bits: int = 0
    tolerance: float = 1e-3
    weight_bits: int = 14
    ring: int = 0
    ranges: str = "calibrated"
    margin: float = 4.0
    window: str | int = "auto"
    tie: str = "negpass"
    rounding: str = "stochastic"
    reveal: str = "values"
    network: str = "lan"
    smooth_bits: int = 11
    failure_bits: int = 40

    def __post_init__(self) -> None:
        if self.trust not in ("dealer", "clear"):
            raise InvalidInput(f'policy.trust must be "dealer" or "clear", not {self.trust!r}')
        if self.ranges not in ("calibrated", "proven"):
            raise InvalidInput(f'policy.ranges must be "calibrated" or "proven", not {self.ranges!r}')
        if self.input_bits != 0:
            _whole("input_bits", self.input_bits, 4, 24)
        if not isinstance(self.tolerance, (int, float)) or not 0 <= self.tolerance <= 1:
            raise InvalidInput(f"policy.tolerance must be a number from 0 to 1, not {self.tolerance!r}")
        _whole("weight_bits", self.weight_bits, 4, 24)
        _whole("smooth_bits", self.smooth_bits, 4, 20)
        _whole("failure_bits", self.failure_bits, 20, 80)
        if self.ring != 0 or isinstance(self.ring, bool):
            _whole("ring", self.ring, MIN_RING, MAX_RING, "0 (automatic) or ")
        if not isinstance(self.margin, (int, float)) or not 1 <= self.margin <= 1 << 20:
            raise InvalidInput(f"policy.margin must be a number from 1 to 2^20, not {self.margin!r}")

        self._check_gates()

    def _check_gates(self) -> None:
        if not isinstance(self.network, str):
            raise InvalidInput(f'policy.network must be a link such as "lan", not {self.network!r}')
        parse_link(self.network)
        if self.window not in ("auto", "exact"):
            if isinstance(self.window, str):
                raise InvalidInput(f'policy.window must be "auto", "exact" or a number of bits, not {self.window!r}')
            _whole("window", self.window, 8, 64)
        if self.tie not in ("negpass", "poszero"):
            raise InvalidInput(f'policy.tie must be "negpass" or "poszero", not {self.tie!r}')
        if self.rounding not in ("stochastic", "exact"):
            raise InvalidInput(f'policy.rounding must be "stochastic" or "exact", not {self.rounding!r}')
        if not isinstance(self.reveal, str) or not re.fullmatch(r"values|argmax|top[1-9][0-9]?", self.reveal):
            raise InvalidInput(f'policy.reveal must be "values", "argmax" or "top5" and the like, not {self.reveal!r}')

    def settled(self) -> Policy:
        """The same with input_bits chosen, where no data says what fewer would cost: the finest, 16, or as many as a
        ring that is asked for leaves beside weights and five bits of range.
        """
        if self.input_bits:
            return self
        return replace(self, input_bits=max(10, min(16, (self.ring - 6) // 2)) if self.ring else 16)

    @property
    def labels(self) -> int:
        """How many labels the client learns instead of values; 0 for values."""
        return 0 if self.reveal == "values" else 1 if self.reveal == "argmax" else int(self.reveal[3:])

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that this trust allows, the preferred one first."""
        return {"dealer": ("masked", "fss"), "clear": ("clear",)}[self.trust]


@dataclass(frozen=True)
class ClientPolicy(_FromToml):
    """What a client accepts; anything else in a plan or at a peer is refused before the first byte of input.

    protocols      protocols it accepts
    calibrated     whether ranges that were only observed are acceptable
    servers        fingerprints of acceptable servers; empty: any that is enrolled in the client's home
    dealers        fingerprints of acceptable dealers; empty: any enrolled one that is not the server's own certificate
    plans          digests of acceptable plans; empty: any
    """

    protocols: tuple[str, ...] = ("masked", "fss")
    calibrated: bool = True
    servers: tuple[str, ...] = ()
    dealers: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("protocols", "servers", "dealers", "plans"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(v, str) for v in value):
                raise InvalidInput(f"client policy: {name} must be a list of strings")
        if not isinstance(self.calibrated, bool):
            raise InvalidInput("client policy: calibrated must be true or false")
