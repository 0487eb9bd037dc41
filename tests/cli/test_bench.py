"""`tacit bench`: rates that are rates, saved so that `tacit bill` can use them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tacit.cli import _rates, application
from tacit.plan.cost import Rates, load_rates

KEYS = {"macs", "evaluations", "wire_bytes", "draws", "per_message", "per_step", "threads", "cores", "tiers"}


def test_measures_and_saves(tmp_path: Path) -> None:
    file = tmp_path / "rates.json"
    done = CliRunner().invoke(application(["bench"]), ["bench", "--json", "--save", str(file)])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert set(figures) == KEYS
    saved = load_rates(file)
    assert saved.macs == figures["macs"]
    # broad limits that any machine keeps: between a slow portable build and far more than a memory bus can carry
    assert 1e7 < saved.macs < 1e13
    assert 1e4 < saved.evaluations < 1e10
    assert 1e6 < saved.wire_bytes < 1e11
    assert 1e-7 < saved.per_message < 0.1


def test_table_names_every_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rates, "measure_rates", lambda **_: Rates())
    done = CliRunner().invoke(application(["bench"]), ["bench"])
    assert done.exit_code == 0, done.output
    assert all(name in done.stdout for name in KEYS - {"threads", "cores", "tiers"})


def test_progress_reaches_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def once(run: Callable[[], object], repeats: int = 9) -> float:
        run()
        return 1e-3

    monkeypatch.setattr(_rates, "_median", once)
    monkeypatch.setattr(_rates, "_run_seconds", lambda pair, plan, threads: 1e-6 * plan.inputs[0].count)
    seen: list[tuple[int, int]] = []
    _rates.measure_rates(threads=1, progress=lambda _label, done, total: seen.append((done, total)))
    assert seen == [(i, 5) for i in range(1, 6)]
