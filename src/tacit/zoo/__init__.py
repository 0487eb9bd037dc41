"""Models and data that Tacit ships, one folder each; every folder says where its content comes from."""

from __future__ import annotations

__all__: list[str] = []
