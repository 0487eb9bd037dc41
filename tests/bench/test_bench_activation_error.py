"""The sampler of activation errors: its bound, and that it sees an error that is there."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

Load = Callable[[str], ModuleType]


def test_bound_is_that_of_the_steepest_point(load: Load) -> None:
    script = load("activation_error")
    x = np.linspace(-8, 8, 100_001)
    slopes = np.abs(512 + 320 * x - 12 * x**3) / 1024
    assert script.bound() == int(np.ceil(slopes.max())) + 1


@pytest.mark.parametrize("ring", [32, 40, 44, 64])
def test_small_sample_keeps_the_bound(load: Load, ring: int) -> None:
    found = load("activation_error").sample(ring, 1)
    assert found.count > 0
    assert found.over_bound == found.gross == 0
    assert 0 < found.largest <= load("activation_error").bound()


def test_a_wrong_result_is_counted(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    script = load("activation_error")
    right = script.simulate

    def wrong(*args: object, **more: object) -> object:
        simulation = right(*args, **more)
        simulation.outputs[0][0, 0, 0] += 1.0
        return simulation

    monkeypatch.setattr(script, "simulate", wrong)
    found = script.sample(40, 1)
    assert (found.over_bound, found.gross) == (1, 1)
