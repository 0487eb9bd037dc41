"""Sensitivities, and the variants and repairs that they are measured on."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.data.sets import Data, Subset
from tacit.codesign.pricing import calibration
from tacit.codesign.ranges import certify
from tacit.codesign.search.choices import CHOICES, IDENTITY
from tacit.codesign.search.cost import Costs
from tacit.codesign.search.sensitivity import Effect, Table, harms, sensitivities
from tacit.codesign.search.variants import recalibrate, scale_for, variant
from tacit.codesign.training.evaluate import evaluate
from tacit.errors import InvalidInput
from tacit.plan.policy import Policy


@pytest.fixture(scope="module")
def costs(net: nn.Module, digits: Data) -> Costs:
    return Costs(net, torch.cat(calibration(digits, 32)), policy=Policy(input_bits=11))


@pytest.fixture(scope="module")
def table(net: nn.Module, digits: Data, costs: Costs) -> Table:
    return sensitivities(net, digits, costs.sites, CHOICES, costs.reach, examples=100, repair=2, device="cpu")


def test_every_choice_at_every_site_is_measured(table: Table, costs: Costs) -> None:
    assert list(table) == list(costs.sites)
    assert all(set(row) == set(CHOICES) and row["exact"] == Effect(0.0, 0.0) for row in table.values())


def test_effects_are_those_of_the_changed_model(net: nn.Module, digits: Data, costs: Costs) -> None:
    """Without repair, measured again by hand: the site turned into an identity in the model itself."""
    site = "layer2.relu1"
    found = sensitivities(
        net, digits, [site], ("exact", IDENTITY), costs.reach, examples=10_000, repair=0, device="cpu"
    )
    by_hand = deepcopy(net)
    by_hand.layer2.relu1 = nn.Identity()
    before, after = (evaluate(m, digits.held_out, digits, device="cpu") for m in (net, by_hand))
    assert found[site][IDENTITY].loss == pytest.approx(after.loss - before.loss, abs=1e-6)
    assert found[site][IDENTITY].top1 == pytest.approx(before.top1 - after.top1, abs=1e-9)


def test_what_is_known_is_not_measured_again(net: nn.Module, digits: Data, costs: Costs, table: Table) -> None:
    known = {site: {c: Effect(1.5, 0.5) for c in CHOICES if c != "exact"} for site in costs.sites}
    steps: list[tuple[int, int]] = []
    again = sensitivities(
        net,
        digits,
        costs.sites,
        CHOICES,
        costs.reach,
        known=known,
        told=lambda _, d, t: steps.append((d, t)),
        device="cpu",
    )
    assert all(row[c] == Effect(1.5, 0.5) for row in again.values() for c in CHOICES if c != "exact")
    assert steps[-1] == (10, 10)


def test_the_model_is_not_changed(net: nn.Module, digits: Data, costs: Costs) -> None:
    before = {k: v.clone() for k, v in net.state_dict().items()}
    sensitivities(net, digits, ["relu"], CHOICES, costs.reach, examples=20, repair=1, device="cpu")
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_harm_is_never_negative() -> None:
    assert harms({"a": {"exact": Effect(0, 0), "poly4": Effect(-0.1, 0), "identity": Effect(0.2, 0)}}) == {
        "a": {"exact": 0.0, "poly4": 0.0, "identity": 0.2}
    }


def test_no_held_out_examples(net: nn.Module, digits: Data) -> None:
    nobody = replace(digits, held_out=Subset(digits.held_out, torch.arange(0)))
    with pytest.raises(InvalidInput, match="no held-out examples"):
        sensitivities(net, nobody, ["relu"], CHOICES, {})


def test_polynomials_are_stretched_to_their_range(net: nn.Module, digits: Data, costs: Costs) -> None:
    """On the data that ranges were seen on, the certificate holds by construction."""
    every = variant(net, calibration(digits, 1)[0], {"relu": "poly4"}, costs.reach)
    seen = Subset(digits.train, torch.arange(32))
    certificate = certify(every, seen, digits, device="cpu")
    assert [site.name for site in certificate.sites] == ["relu"]
    assert 4.0 < certificate.largest <= 8.0


@pytest.mark.parametrize(("reach", "scale"), [(8.0, 1.0), (8.1, 2.0), (4.1, 1.0), (4.0, 0.5), (1000.0, 128.0)])
def test_scales_are_powers_of_two(reach: float, scale: float) -> None:
    assert scale_for(reach) == scale


def test_an_empty_assignment_is_a_copy(net: nn.Module, digits: Data) -> None:
    x = torch.cat(calibration(digits, 4))
    same = variant(net, x[:1], {}, {}).eval()
    assert same is not net
    assert torch.equal(same(x), net(x))


def test_choices_stand_where_they_are_asked_for(net: nn.Module, digits: Data, costs: Costs) -> None:
    made = variant(net, calibration(digits, 1)[0], {"layer1.relu1": "poly2", "relu": IDENTITY}, costs.reach)
    assert isinstance(made.layer1.relu1, PolyAct)
    assert made.layer1.relu1.polynomial.degree == 2
    assert isinstance(made.relu, nn.Identity)
    assert isinstance(made.layer1.relu2, nn.ReLU)


def test_recalibration_finds_the_statistics_of_the_data() -> None:
    norm = nn.BatchNorm2d(3)
    x = 3 + 2 * torch.randn(64, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    recalibrate(norm.eval(), x.split(16))
    assert torch.allclose(norm.running_mean, x.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(norm.running_var, torch.stack([p.var((0, 2, 3)) for p in x.split(16)]).mean(0), atol=1e-4)
    assert norm.momentum == 0.1
    assert not norm.training
