"""`python -m tacit.cli` is `tacit`."""

from __future__ import annotations

from tacit.cli import main

__all__: list[str] = []

main()
