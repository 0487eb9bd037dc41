"""Conformance suites for what contributors add: channels, protocols, layers, sources."""

__all__: list[str] = []
