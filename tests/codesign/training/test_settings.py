"""A run is continued only with the numbers it began with, whatever the objective."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from tacit.codesign import CrossEntropy, Data, Objective, Recipe, train
from tacit.codesign.finetune.distil import Distillation
from tacit.codesign.finetune.progressive import Progressive, Ramp
from tacit.codesign.pillar import RangePenalty
from tacit.errors import InvalidInput


def objectives() -> list[Objective]:
    """Each differs from every other in a number, a model or a kind."""
    teachers = [nn.Linear(3, 2), nn.Linear(3, 2)]
    return [
        Objective(),
        CrossEntropy(),
        CrossEntropy(0.1),
        RangePenalty(alpha=1e-4),
        RangePenalty(alpha=1e-3),
        RangePenalty(alpha=1e-4, gamma=8),
        RangePenalty(CrossEntropy(0.1), alpha=1e-4),
        Distillation(teachers[0]),
        Distillation(teachers[1]),
        Distillation(teachers[0], soft=0.5),
        Progressive(CrossEntropy(), Ramp()),
        Progressive(CrossEntropy(), Ramp(0.5)),
        Progressive(RangePenalty(alpha=1e-4), Ramp()),
    ]


def test_settings_tell_objectives_apart() -> None:
    found = [f"{type(objective)} {objective.settings()!r}" for objective in objectives()]
    assert len(set(found)) == len(found)


def test_settings_are_equal_for_equal_objectives() -> None:
    teacher = nn.BatchNorm1d(3)
    assert Distillation(teacher).settings() == Distillation(teacher).settings()
    assert RangePenalty(alpha=1e-4).settings() == RangePenalty(alpha=1e-4).settings()


def test_another_teachers_run_is_not_continued(
    digits: Data, small_net: Callable[[], nn.Module], tmp_path: Path
) -> None:
    recipe = Recipe(epochs=1, lr=0.1, warmup_epochs=0, device="cpu")
    teacher = small_net()
    train(small_net(), digits, recipe, objective=Distillation(teacher), folder=tmp_path, progress=False)
    teacher[6].weight.data += 1
    with pytest.raises(InvalidInput, match="its objective's teacher is"):
        train(small_net(), digits, recipe, objective=Distillation(teacher), folder=tmp_path, progress=False)
