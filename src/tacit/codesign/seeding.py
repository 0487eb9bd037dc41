"""Random numbers of training: generators that depend on a seed and a purpose only, so that runs can be repeated.

Nothing here hides anything; secrets come from the operating system (`tacit.ring.prg`).
"""

from __future__ import annotations

import hashlib

import torch

__all__ = ["derive", "generator"]


def derive(seed: int, *purpose: str | int) -> int:
    """A seed of 63 bits for one purpose of a run, from SHA-256: seeds of different purposes are unrelated."""
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A torch generator on the CPU for one purpose of a run."""
    return torch.Generator().manual_seed(derive(seed, *purpose))
