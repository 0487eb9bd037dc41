"""Loading the benchmark scripts, which are no package, as modules."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]
BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Import a module of bench/, such as "lib.models", as its scripts do."""
    monkeypatch.syspath_prepend(str(BENCH / "lib"))
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module
