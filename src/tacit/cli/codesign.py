"""Train for cheap private inference: search architectures and activations by what they cost. Needs tacit[train]."""

from __future__ import annotations

from tacit.cli._codesign_search import search
from tacit.cli._cryptonas import cryptonas

__all__ = ["commands"]

commands = (search, cryptonas)
