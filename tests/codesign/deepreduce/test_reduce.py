"""DeepReDuce: the published counts and criticality, which nets are trained, and a reduction of a small net."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tacit.codesign.data.sets import Data
from tacit.codesign.deepreduce.profile import Profile, Stage, criticality, profile, stages
from tacit.codesign.deepreduce.reduce import Design, built, cull, designs, fresh, thin
from tacit.codesign.deepreduce.run import Reduction, deepreduce
from tacit.codesign.search.cost import activation_sites
from tacit.codesign.training.recipe import Recipe
from tacit.errors import InvalidInput
from tacit.plan.policy import Policy

BENCH = Path(__file__).resolve().parents[3] / "bench"
RECIPE = Recipe(epochs=1, lr=0.05, batch=32, warmup_epochs=0, threads=1, augment=False, device="cpu")
Make = Callable[..., nn.Module]


@contextmanager
def _bench() -> Iterator[Any]:
    """The benchmark's nets, which are no package."""
    sys.path.insert(0, str(BENCH))
    try:
        yield import_module("lib.models")
    finally:
        sys.path.remove(str(BENCH))


@pytest.mark.parametrize(("side", "factor"), [(32, 1), (64, 4)])
def test_resnet18_has_the_published_stages(side: int, factor: int) -> None:
    with _bench() as models:
        net = models.NETS["resnet18"].make(models._STYLES["relu"])
    found = stages(activation_sites(net, torch.zeros(1, 3, side, side)))
    assert [stage.count for stage in found] == [factor * n for n in (327_680, 131_072, 65_536, 32_768)]
    assert sum(stage.count for stage in found) == factor * 557_056
    assert [stage.size for stage in found] == [(side >> i, side >> i) for i in range(4)]
    assert [len(stage.sites) for stage in found] == [5, 4, 4, 4]


def test_the_criticality_is_the_published_formula() -> None:
    counts = (327_680, 131_072, 65_536, 32_768)
    found = criticality((0.60, 0.70, 0.75, 0.65), counts)
    assert found == pytest.approx((0.0, 0.10 / 4**0.07, 0.15 / 2**0.07, 0.05))
    with pytest.raises(InvalidInput, match="every stage"):
        criticality((0.5,), (1, 2))


PARTS = tuple(Stage(f"S{i}", (8 >> i, 8 >> i), (f"{i}.a", f"{i}.b"), 512 >> i) for i in range(1, 5))
PROFILE = Profile(PARTS, (0.60, 0.70, 0.75, 0.65))


def test_culling_goes_from_the_least_critical_on() -> None:
    assert [[stage.name for stage in left] for left in cull(PROFILE)] == [["S2", "S3", "S4"], ["S2", "S3"], ["S3"]]


@pytest.mark.parametrize(("sites", "kept"), [("abcde", "ace"), ("abcd", "bd"), ("ab", "b"), ("a", "a")])
def test_thinning_keeps_every_other_from_the_end(sites: str, kept: str) -> None:
    assert "".join(thin(Stage("S1", (4, 4), tuple(sites), 9))) == kept


def test_the_designs_are_linear_in_the_stages() -> None:
    made = designs(PROFILE, alphas=(0.5,), rhos=(0.5,))
    assert len(made) == 4 * 3
    assert len({design.name for design in made}) == len(made)
    assert made[0] == Design("S2+S3+S4", frozenset(f"{i}.{x}" for i in (2, 3, 4) for x in "ab"))
    assert made[1].kept == frozenset({"2.b", "3.b", "4.b"})
    assert (made[2].alpha, made[3].rho) == (0.5, 0.5)
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        designs(PROFILE, alphas=(2.0,))


def test_a_net_of_one_stage_is_refused() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU())
    with pytest.raises(InvalidInput, match="one stage only"):
        profile(activation_sites(net, torch.zeros(1, 1, 4, 4)), lambda _: 0.5)
    with pytest.raises(InvalidInput, match="no activation"):
        stages(())


def test_fresh_weights_follow_the_seed(make_net: Make) -> None:
    net = make_net()
    before = torch.random.get_rng_state()
    one, same, other = fresh(net, 1), fresh(net, 1), fresh(net, 2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one[0].weight, same[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)
    assert not torch.equal(one[0].weight, net[0].weight)


def test_designs_are_built(make_net: Make) -> None:
    net, x = make_net(), torch.zeros(1, 1, 8, 8)
    names = [site.name for site in activation_sites(net, x)]
    kept = frozenset(names[2:])
    culled = built(net, x, Design("S2", kept))
    assert [site.name for site in activation_sites(culled, x)] == names[2:]
    narrow = built(net, x, Design("half", kept, alpha=0.5), build=make_net)
    assert sum(s.count for s in activation_sites(narrow, x)) == sum(s.count for s in activation_sites(culled, x)) // 2
    small = built(net, x, Design("small", kept, rho=0.5))
    assert sum(s.count for s in activation_sites(small, x)) == sum(s.count for s in activation_sites(culled, x)) // 4
    with pytest.raises(InvalidInput, match="builds the net"):
        built(net, x, Design("half", kept, alpha=0.5))
    with pytest.raises(InvalidInput, match="whole fraction"):
        built(net, x, Design("third", kept, rho=0.3))
    with pytest.raises(InvalidInput, match="names of modules"):
        built(net, x, Design("other", frozenset({"nothing"})))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (Reduction(rhos=(0.5,)), "cannot take"),
        (Reduction(rhos=(0.3,)), "whole fraction"),
        (Reduction(rhos=(0.0,)), "between 0 and 1"),
        (Reduction(alphas=(0.5,)), "builds the net"),
    ],
)
def test_shapes_that_cannot_be_are_said_before_training(
    digits: Data, monkeypatch: pytest.MonkeyPatch, how: Reduction, says: str
) -> None:
    monkeypatch.delattr("tacit.codesign.deepreduce.run.train")
    flat = nn.Sequential(nn.Conv2d(1, 2, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(32, 10), nn.ReLU())
    with pytest.raises(InvalidInput, match=says):
        deepreduce(flat, digits, RECIPE, how, progress=False)


def test_a_small_net_is_reduced(make_net: Make, digits: Data, tmp_path: Path) -> None:
    how = Reduction(links=("lan", "wan"), rhos=(0.5,), policy=Policy(input_bits=11))
    found = deepreduce(make_net(), digits, RECIPE, how, folder=tmp_path, progress=False)
    assert [stage.count for stage in found.profile.stages] == [512, 256]
    assert [p.activations for p in found.points[:1]] == [768]
    assert len(found.points) == 1 + 3
    for point in found.points:
        assert point.seconds["wan"] > point.seconds["lan"] > 0
    assert found.front("activations")
    assert found.front("wan")[0].seconds["wan"] == min(p.seconds["wan"] for p in found.points)
