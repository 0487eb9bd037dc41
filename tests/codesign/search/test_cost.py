"""Costs of variants: the edited graph against the compiled module, and the additive model against compiled plans."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import tacit
from tacit.codesign.data.sets import Data
from tacit.codesign.pricing import calibration
from tacit.codesign.search.additive import fit_additive, probes
from tacit.codesign.search.choices import CHOICES, EXACT, IDENTITY, counts, everywhere
from tacit.codesign.search.cost import Costs, seconds_of
from tacit.codesign.search.variants import variant
from tacit.errors import InvalidInput
from tacit.plan.policy import Policy

#: Precision told, so that it is not measured anew for every variant.
POLICY = Policy(input_bits=11)


@pytest.fixture(scope="module")
def costs(net: nn.Module, digits: Data) -> Costs:
    return Costs(net, torch.cat(calibration(digits, 8)), policy=POLICY)


def _random(costs: Costs, seed: int) -> dict[str, str]:
    rng = np.random.default_rng(seed)
    return {site: str(rng.choice(CHOICES)) for site in costs.sites}


def test_sites_are_in_the_order_of_the_run(costs: Costs) -> None:
    assert costs.sites == ("relu", "layer1.relu1", "layer1.relu2", "layer2.relu1", "layer2.relu2")
    assert list(costs.sizes.values()) == [128, 128, 128, 64, 64]


def test_nothing_changed_costs_what_the_model_costs(costs: Costs, net: nn.Module, digits: Data) -> None:
    batches = calibration(digits, 4)
    plan = tacit.compile(net, batches[0], policy=POLICY, calibration=batches)
    made, wanted = costs.bill({}), plan.bill("lan")
    assert made.messages("online") == wanted.messages("online")
    assert made.messages("deal") == wanted.messages("deal")
    assert made.seconds() == wanted.seconds()


@pytest.mark.parametrize("seed", range(2))
def test_edited_graphs_cost_what_converted_modules_do(costs: Costs, net: nn.Module, digits: Data, seed: int) -> None:
    """Same messages; seconds may differ by what scales of polynomials do to rings."""
    assignment, batches = _random(costs, seed), calibration(digits, 8)
    module = variant(net, batches[0], assignment, costs.reach).eval()
    bill = tacit.compile(module, batches[0], policy=POLICY, calibration=batches).bill("lan")
    edited = costs.bill(assignment, "lan")
    assert [(m.sender, m.receiver) for m in edited.messages("online")] == [
        (m.sender, m.receiver) for m in bill.messages("online")
    ]
    assert edited.seconds() == pytest.approx(bill.seconds(), rel=0.05)


def test_links_share_one_compilation(costs: Costs) -> None:
    before = costs.placed
    near, far = costs.seconds({}, "lan"), costs.seconds({}, "wan")
    assert costs.placed <= before + 1
    assert far > near
    assert costs.seconds({}, "wan", "whole") > far


def test_whole_counts_what_is_made_ahead(costs: Costs) -> None:
    bill = costs.bill({}, "wan")
    ahead = sum(m.bytes for phase in ("deal", "prime") for m in bill.messages(phase))  # type: ignore[arg-type]
    assert seconds_of(bill, "whole") == pytest.approx(bill.seconds() + 8 * ahead / 100e6)


@pytest.mark.parametrize(("link", "phase"), [("lan", "online"), ("wan", "online"), ("wan", "whole")])
def test_single_choices_add_up_on_average(costs: Costs, link: str, phase: str) -> None:
    """On variants that it was not fitted on, the additive model is within 15 % of the bill on average, and within 50 %
    always: values that pass several layers are brought back to their precision, which costs as much as an activation.
    """
    additive = fit_additive(costs.sites, CHOICES, lambda a: costs.seconds(a, link, phase))  # type: ignore[arg-type]
    errors = []
    for seed in range(20):
        assignment = _random(costs, 100 + seed)
        wanted = costs.seconds(assignment, link, phase)  # type: ignore[arg-type]
        errors.append(abs(additive.seconds(assignment) / wanted - 1))
    assert np.mean(errors) < 0.15
    assert max(errors) < 0.5
    assert additive.error < 0.15


def test_an_additive_cost_is_found_exactly() -> None:
    price = {"a": {"exact": 3.0, "identity": 1.0}, "b": {"exact": 5.0, "identity": 4.5}}
    found = fit_additive(("a", "b"), ("exact", "identity"), lambda x: 7 + sum(price[s][c] for s, c in x.items()))
    assert found.base == pytest.approx(15)
    assert found.change["a"] == pytest.approx({"exact": 0.0, "identity": -2.0})
    assert found.error < 1e-9


def test_one_site_is_enough() -> None:
    found = fit_additive(("a",), ("exact", "identity"), lambda x: 2.0 if x["a"] == "exact" else 1.0)
    assert (found.base, found.change["a"]["identity"]) == pytest.approx((2.0, -1.0))


def test_probes_are_as_many_as_said() -> None:
    sites = [f"s{i}" for i in range(9)]
    made = list(probes(sites, CHOICES))
    assert made == list(probes(sites, CHOICES))
    assert len(made) == len({tuple(p.values()) for p in made}) == 3 + 2 * 9 * 2


def test_an_unknown_site_is_named(costs: Costs) -> None:
    with pytest.raises(InvalidInput, match="no activation site 'nothing'"):
        costs.bill({"nothing": IDENTITY})


def test_a_model_without_activations_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no activation"):
        Costs(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.zeros(2, 1, 2, 2))


def test_counts_by_kind(costs: Costs) -> None:
    assignment = {**everywhere(costs.sites), "relu": IDENTITY, "layer2.relu1": "poly4"}
    assert counts(assignment, costs.sizes) == {EXACT: 320, "poly": 64, IDENTITY: 128}
