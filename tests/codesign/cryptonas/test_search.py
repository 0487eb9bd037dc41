"""The search on digits: it trains the shared child, resumes exactly, and refuses what makes no sense."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tacit.codesign.cryptonas.budget import LatencyBudget
from tacit.codesign.cryptonas.controller import ControllerSettings
from tacit.codesign.cryptonas.latency import Bills, fit_latency
from tacit.codesign.cryptonas.search import Found, search
from tacit.codesign.cryptonas.settings import SearchSettings
from tacit.codesign.cryptonas.space import Cell, Space
from tacit.codesign.data import load
from tacit.codesign.data.sets import Data
from tacit.errors import InvalidFile, InvalidInput, TrainingDiverged
from tacit.plan.policy import Policy

FEW = SearchSettings(
    epochs=3, batch=32, candidates=3, augment=False, controller=ControllerSettings(steps=2, aggregate=3), threads=1
)


@pytest.fixture(scope="module")
def data() -> Data:
    return load("digits", examples=320, held_out=0.25)


@pytest.fixture(scope="module")
def space(data: Data) -> Space:
    return Space.of(data, width=4)


class Stopping:
    """Presses Ctrl-C after so many cells."""

    def __init__(self, after: int) -> None:
        self.left = after

    def seconds(self, cell: Cell) -> float | None:
        return None

    def holds(self, cell: Cell) -> bool:
        return True

    def trimmed(self, cell: Cell) -> Cell:
        self.left -= 1
        if not self.left:
            signal.raise_signal(signal.SIGINT)
        return cell

    def identity(self) -> dict[str, object]:
        return {"budget": "relus"}


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """A shell that starts the tests in the background has them ignore interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def same(first: Found, second: Found) -> None:
    assert first.cell == second.cell
    assert first.candidates == second.candidates
    assert [replace(e, seconds=0) for e in first.history] == [replace(e, seconds=0) for e in second.history]


def test_the_shared_child_learns(data: Data, space: Space) -> None:
    """Better than guessing by far, from its reward and on all held-out examples; PyTorch's generator is left alone."""
    state = torch.get_rng_state()
    settings = replace(FEW, epochs=6, controller=ControllerSettings(steps=1, aggregate=8))
    found = search(space, data, settings, progress=False)
    assert torch.equal(torch.get_rng_state(), state)
    assert found.history[-1].loss < 0.7 * found.history[0].loss
    assert found.history[-1].reward > 0.4
    assert found.candidates[0].accuracy > 0.5
    assert [c.accuracy for c in found.candidates] == sorted((c.accuracy for c in found.candidates), reverse=True)
    assert found.cell == found.candidates[0].cell
    assert len({c.cell for c in found.candidates}) == 3


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("after", [7 + 6 + 3, 7 + 6 + 7 + 2])  # an epoch has 7 cells for the child, 6 for rewards
def test_an_interrupted_search_goes_on_exactly(data: Data, space: Space, tmp_path: Path, after: int) -> None:
    """Stopped in the second epoch, in the middle of the controller's steps, or in the middle of the child's."""
    whole = search(space, data, FEW, progress=False)
    with pytest.raises(KeyboardInterrupt):
        search(space, data, FEW, budget=Stopping(after), folder=tmp_path, progress=False)
    assert (tmp_path / "checkpoint.pt").exists()
    same(search(space, data, FEW, folder=tmp_path, progress=False), whole)
    same(search(space, data, FEW, folder=tmp_path, progress=False), whole)  # and a finished one is only answered


def test_another_searchs_checkpoint_is_refused(data: Data, space: Space, tmp_path: Path) -> None:
    once = replace(FEW, epochs=1)
    search(space, data, once, folder=tmp_path, progress=False)
    with pytest.raises(InvalidInput, match="seed"):
        search(space, data, replace(once, seed=1), folder=tmp_path, progress=False)
    with pytest.raises(InvalidInput, match="width"):
        search(space.wide(5), data, once, folder=tmp_path, progress=False)
    search(space, data, replace(once, seed=1), folder=tmp_path, resume=False, progress=False)
    (tmp_path / "checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InvalidFile, match="delete"):
        search(space, data, once, folder=tmp_path, progress=False)


def test_a_latency_budget_holds_in_the_compiled_plan(data: Data) -> None:
    """Of convolutions and max-pools, which cost rounds, the answer is one that the limit allows."""
    space = Space.of(data, layers=3, width=2, operations=("sep3", "max"))
    bills = Bills(space, policy=Policy(input_bits=12, weight_bits=14))
    model = fit_latency(bills, checks=1)
    cheapest = bills.seconds(model.cheapest())
    budget = LatencyBudget(cheapest * 1.001, model, bills)
    found = search(space, data, replace(FEW, epochs=1), budget=budget, progress=False)
    assert all(c.seconds is not None and c.seconds <= budget.limit for c in found.candidates)
    assert bills.seconds(found.cell) <= budget.limit


def test_data_that_do_not_fit(data: Data, space: Space) -> None:
    with pytest.raises(InvalidInput, match=r"Space\.of"):
        search(replace(space, classes=11), data, FEW, progress=False)
    with pytest.raises(InvalidInput, match=r"Space\.of"):
        search(replace(space, size=16), data, FEW, progress=False)
    with pytest.raises(InvalidInput, match="held-out"):
        search(space, load("digits", examples=50, held_out=0.0), FEW, progress=False)


def test_an_absent_device(data: Data, space: Space) -> None:
    with pytest.raises(InvalidInput, match="cuda:77"):
        search(space, data, replace(FEW, device="cuda:77"), progress=False)


def test_divergence_is_told(data: Data, space: Space) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            return getattr(data, name)

        def normalise(self, x: torch.Tensor) -> torch.Tensor:
            return x / 0

    with pytest.raises(TrainingDiverged, match="epoch 1, step 1"):
        search(space, Broken(), FEW, progress=False)  # type: ignore[arg-type]


def test_the_learning_rate_restarts() -> None:
    """At 0, 10 and 30 epochs, as published; half-way down in the middle of each."""
    settings = SearchSettings()
    for start, length in ((0, 10), (10, 20), (30, 40), (70, 80), (150, 160)):
        assert settings.lr_at(start) == pytest.approx(0.05)
        assert settings.lr_at(start + length / 2) == pytest.approx((0.05 + 5e-4) / 2)
        assert settings.lr_at(math.nextafter(start + length, 0)) == pytest.approx(5e-4)


@pytest.mark.parametrize("change", [{"epochs": 0}, {"lr_low": 1.0}, {"momentum": 1.0}, {"candidates": 0}])
def test_settings_that_are_none(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        SearchSettings(**change)
