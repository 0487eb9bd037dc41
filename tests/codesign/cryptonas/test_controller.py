"""The controller: its probabilities are those it draws by, and it learns what is rewarded."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from tacit.codesign.cryptonas.controller import Controller, ControllerSettings, Reinforce
from tacit.codesign.cryptonas.space import Cell, Space
from tacit.errors import InvalidInput

SMALL = Space(3, 4, 8, operations=("conv3", "sep5"))


def controller(space: Space = SMALL, seed: int = 0, **changes: float) -> Controller:
    torch.manual_seed(seed)
    return Controller(space, ControllerSettings(**changes))  # type: ignore[arg-type]


def draws_of(model: Controller, count: int, seed: int = 1) -> list[Cell]:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        return [draw.cell for draw in model.draw(generator, count)]


def sep_share(cell: Cell) -> float:
    return cell.operations.count("sep5") / cell.layers


def test_cells_are_drawn_with_the_probability_that_is_said() -> None:
    """All 64 cells of a small space: their stated probabilities sum to 1 and are the frequencies, by a chi-square."""
    model, count = controller(), 6000
    torch.nn.init.normal_(model.score.weight, generator=torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        drawn = model.draw(generator, count)
    stated = {draw.cell: math.exp(float(draw.log_probability)) for draw in drawn}
    seen = Counter(draw.cell for draw in drawn)
    assert len(stated) == 64
    assert sum(stated.values()) == pytest.approx(1, abs=1e-5)
    statistic = sum((seen[cell] - count * p) ** 2 / (count * p) for cell, p in stated.items())
    assert statistic < 63 + 5 * math.sqrt(2 * 63)


def test_the_entropy_is_that_of_the_distribution() -> None:
    """At the start all choices are nearly even: three operations of two, three skips."""
    draw = controller().draw(torch.Generator().manual_seed(0))[0]
    assert draw.entropy == pytest.approx(6 * math.log(2), rel=0.02)


def test_it_learns_what_is_rewarded() -> None:
    """Mean share of the rewarded operation before and after: eight standard errors apart, and near the tanh's limit."""
    model = controller(lr=0.01)
    before = [sep_share(cell) for cell in draws_of(model, 300)]
    learner, generator = Reinforce(model), torch.Generator().manual_seed(2)
    for _ in range(80):
        learner.step(sep_share, generator)
    after = [sep_share(cell) for cell in draws_of(model, 300)]
    limit = 1 / (1 + math.exp(-2 * 1.5 / 2.5))
    error = math.sqrt(0.25 / 900 * 2)
    assert sum(after) / 300 - sum(before) / 300 > 8 * error
    assert sum(after) / 300 == pytest.approx(limit, abs=0.06)
    assert all(operation == "sep5" for operation in model.draw(None)[0].cell.operations)


def test_skips_settle_at_the_target() -> None:
    model = controller(Space(9, 4, 8), lr=0.02, skip_target=0.3)
    learner, generator = Reinforce(model), torch.Generator().manual_seed(2)
    for _ in range(60):
        step = learner.step(lambda cell: 0.0, generator)
    rates = [sum(map(len, cell.skips)) / 36 for cell in draws_of(model, 100)]
    assert sum(rates) / 100 == pytest.approx(0.3, abs=0.03)
    assert step.skip_rate == pytest.approx(0.3, abs=0.08)


def test_the_baseline_is_the_moving_average_of_rewards() -> None:
    model = controller(aggregate=1, entropy_weight=0.0, baseline_decay=0.9)
    learner, generator = Reinforce(model), torch.Generator().manual_seed(0)
    assert learner.step(lambda cell: 0.5, generator).baseline == pytest.approx(0.5)
    assert learner.step(lambda cell: 1.0, generator).baseline == pytest.approx(0.55)


def test_its_state_goes_on_exactly() -> None:
    def steps(learner: Reinforce, count: int, seed: int) -> None:
        for n in range(count):
            learner.step(sep_share, torch.Generator().manual_seed(seed + n))

    whole = Reinforce(controller())
    steps(whole, 4, 0)
    first = Reinforce(controller())
    steps(first, 2, 0)
    second = Reinforce(controller(seed=9))
    second.load(first.state())
    steps(second, 2, 2)
    for name, value in whole.controller.state_dict().items():
        assert torch.equal(value, second.controller.state_dict()[name]), name
    assert whole.baseline == second.baseline


@pytest.mark.parametrize("change", [{"steps": 0}, {"skip_target": 1.0}, {"lr": 0.0}, {"baseline_decay": 1.0}])
def test_settings_that_are_none(change: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        ControllerSettings(**change)  # type: ignore[arg-type]
