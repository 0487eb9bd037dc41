"""The recipe: its schedule and the values it refuses."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from tacit.codesign import Recipe
from tacit.errors import InvalidInput


def test_schedule() -> None:
    recipe = Recipe(epochs=25, lr=0.2, warmup_epochs=5, warmup_start=0.01)
    assert recipe.lr_at(0) == pytest.approx(0.002)
    assert recipe.lr_at(2.5) == pytest.approx(0.2 * (0.01 + 0.99 / 2))
    assert recipe.lr_at(5) == pytest.approx(0.2)
    assert recipe.lr_at(15) == pytest.approx(0.1)
    assert recipe.lr_at(20) == pytest.approx(0.1 * (1 + math.cos(0.75 * math.pi)))
    assert recipe.lr_at(25) == pytest.approx(0)
    assert Recipe(epochs=1, lr=0.2, warmup_epochs=0).lr_at(0) == 0.2


def test_the_schedule_goes_up_and_then_down() -> None:
    recipe = Recipe(epochs=12, lr=1, warmup_epochs=3)
    rates = [recipe.lr_at(n / 10) for n in range(121)]
    assert all(a < b for a, b in pairwise(rates[:31]))
    assert all(a > b for a, b in pairwise(rates[30:]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"epochs": 0}, "epochs is at least 1, and not 0"),
        ({"lr": 0.0}, "learning rate"),
        ({"lr": math.nan}, "learning rate"),
        ({"batch": 0}, "batch"),
        ({"momentum": 1.0}, "momentum"),
        ({"momentum": 0.0, "nesterov": True}, "nesterov"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"warmup_epochs": 10}, "warmup_epochs leaves at least one of 10 epochs"),
        ({"warmup_start": 0.0}, "warmup_start"),
        ({"clip_norm": 0.0}, "clip_norm"),
        ({"mixed": "int8"}, "mixed"),
        ({"threads": 0}, "threads"),
        ({"speed": 1}, "a recipe has no speed"),
    ],
)
def test_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Recipe(epochs=10, lr=0.1).replace(**change)


def test_replace() -> None:
    recipe = Recipe(epochs=10, lr=0.1)
    assert recipe.replace(seed=3) == Recipe(epochs=10, lr=0.1, seed=3)
    assert recipe.replace(threads=1, device="cpu").identity() == recipe.identity() != recipe.replace(lr=1).identity()
