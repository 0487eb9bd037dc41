"""The policies that nets are measured under, by name."""

from __future__ import annotations

from tacit.plan.policy import Policy

__all__ = ["POLICIES", "named"]

#: What each asks for beyond the default; where it names no bits, the planner picks them by the error that it measures.
POLICIES: dict[str, dict[str, float | str]] = {
    "auto": {},
    "ring32": {"ring": 32, "margin": 2.0},
    "exact32": {"ring": 32, "margin": 2.0, "window": "exact"},
    "windowed": {"ring": 32, "margin": 2.0, "window": 20},
    "ring40": {"ring": 40, "input_bits": 16},
    "ring44": {"ring": 44, "input_bits": 16},
    "ring64": {"ring": 64, "input_bits": 16},
}


def named(name: str) -> Policy:
    """The policy called `name`. KeyError if there is none."""
    return Policy(**POLICIES[name])  # type: ignore[arg-type]
