"""What an operator can watch: counters in Prometheus' text format, in a registry of the server's own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tacit.corr.store import Store

__all__ = ["Metrics"]


class Metrics:
    """Counters of one server. They hold numbers only, never anything about a client or a value."""

    def __init__(self, store: Store) -> None:
        self.registry = CollectorRegistry()
        self._runs = Counter("tacit_runs", "Private runs answered", registry=self.registry)
        self._examples = Counter("tacit_examples", "Examples in those runs", registry=self.registry)
        self._primed = Counter("tacit_primed_bundles", "Bundles primed", registry=self.registry)
        self._seconds = Histogram("tacit_run_seconds", "Online seconds of a run", registry=self.registry)
        stock = Gauge("tacit_stock_bundles", "Primed bundles waiting for clients", registry=self.registry)
        stock.set_function(lambda: store.count()["primed"])
        held = Gauge("tacit_stock_bytes", "Bytes of material in the store", registry=self.registry)
        held.set_function(lambda: store.bytes_used)

    def answered(self, examples: int, seconds: float) -> None:
        """Count one run of `examples` that took `seconds` online."""
        self._runs.inc()
        self._examples.inc(examples)
        self._seconds.observe(seconds)

    def primed(self, bundles: int) -> None:
        """Count primed bundles."""
        self._primed.inc(bundles)

    def text(self) -> bytes:
        """Everything in the text format that Prometheus scrapes."""
        return generate_latest(self.registry)
