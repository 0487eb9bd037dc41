"""Range certificates: the largest input over a whole split, found without clipping, and the export that insists."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import tacit
from tacit import codesign
from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.data.sets import Subset
from tacit.codesign.ranges import certify, export, fingerprint
from tacit.errors import InvalidInput, RangeNotCertified


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data():
    return codesign.load_data("digits", size=8, examples=200)


def net(gain: float = 1.0) -> nn.Module:
    torch.manual_seed(0)
    scale = torch.linspace(0.5, 2.0, 4)
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3), PolyAct(clip=5.0, scale=scale), nn.Conv2d(4, 4, 3), PolyAct(clip=5.0)),
        *(nn.Flatten(), nn.Linear(64, 10)),
    )
    with torch.no_grad():
        model[0].weight.mul_(gain)
    return model


def slow_largest(model: nn.Module, data) -> tuple[float, float]:
    """The largest normalised inputs, one example at a time."""
    found = [0.0, 0.0]
    model.eval()
    for i in range(len(data.test)):
        x = model[0](data.normalise(data.test.batch([i])[0])).detach()
        found[0] = max(found[0], float((x / model[1].scale.reshape(1, 4, 1, 1)).abs().max()))
        found[1] = max(found[1], float(model[2](model[1](x)).detach().abs().max()))
    return found[0], found[1]


def test_the_certificate_is_the_maximum_over_all_examples_without_clipping(data) -> None:
    model = net(30.0)
    model.train()
    certificate = certify(model, data.test, data, batch=64)
    assert model.training
    assert [site.name for site in certificate.sites] == ["1", "3"]
    assert tuple(s.largest for s in certificate.sites) == pytest.approx(slow_largest(model, data), rel=1e-5)
    assert certificate.examples == len(data.test)
    assert not certificate.holds
    assert certificate.largest == max(s.largest for s in certificate.sites) > 8
    with pytest.raises(RangeNotCertified, match=r"beyond 8 at 3 \(.*\), 1 \("):
        certificate.require()


def test_it_holds_where_inputs_are_small_and_counts_what_is_outside_the_interval(data) -> None:
    certificate = certify(net(), data.test, data, bound=1e9)
    certificate.require()
    model = net(6.0)
    outside = certify(model, data.test, data).sites[0].outside
    with torch.no_grad():
        x = model[0](data.normalise(data.test.batch(range(len(data.test)))[0]))
    assert outside == pytest.approx(float(((x / model[1].scale.reshape(1, 4, 1, 1)).abs() > 5).float().mean()))
    assert 0 < outside < 1


def test_a_value_that_is_no_number_is_beyond_every_bound(data) -> None:
    model = net()
    with torch.no_grad():
        model[2].bias[0] = math.nan
    certificate = certify(model, data.test, data, bound=1e30)
    assert certificate.sites[1].largest == math.inf
    assert certificate.non_finite > 0
    with pytest.raises(RangeNotCertified):
        certificate.require()


def test_export_writes_only_what_is_certified(data, tmp_path) -> None:
    model, path = net(), tmp_path / "net.tacit"
    certificate = certify(model, data.test, data, bound=1e3)
    plan = export(model, certificate, path, data, calibration=8)
    x = data.normalise(data.test.batch([3])[0])
    clear = model.eval()(x).detach().numpy()
    private = tacit.simulate(tacit.load(path), x.numpy()).outputs[0]
    assert np.abs(private - clear).max() < 1e-2 * np.abs(clear).max()
    assert plan.digest == tacit.load(path).digest
    other = net(1.5)
    with pytest.raises(RangeNotCertified, match="other weights"):
        export(other, certificate, tmp_path / "other.tacit", data)
    bad = certify(other, data.test, data, bound=1e-3)
    with pytest.raises(RangeNotCertified, match="leave their range"):
        export(other, bad, tmp_path / "other.tacit", data)
    assert not (tmp_path / "other.tacit").exists()


def test_the_fingerprint_follows_every_weight() -> None:
    model = net()
    before = fingerprint(model)
    assert fingerprint(net()) == before
    with torch.no_grad():
        model[1].scale[2] += 1e-6
    assert fingerprint(model) != before


@pytest.mark.parametrize(
    "other",
    [PolyAct(degree=6), PolyAct(interval=3.0), PolyAct(scale=0.5), nn.Identity(), nn.ReLU()],
    ids=["degree", "interval", "scale", "none", "exact"],
)
def test_a_certificate_is_of_these_polynomials_alone(data, tmp_path, other: nn.Module) -> None:
    model = net()
    certificate = certify(model, data.test, data, bound=1e3)
    model[3] = other  # no parameter, no buffer: the weights are the same
    assert not certificate.matches(model)
    with pytest.raises(RangeNotCertified, match="another model"):
        export(model, certificate, tmp_path / "net.tacit", data)
    assert not (tmp_path / "net.tacit").exists()


def test_the_fingerprint_follows_buffers_that_are_not_saved() -> None:
    model = net()
    model.register_buffer("shift", torch.zeros(3), persistent=False)
    before = fingerprint(model)
    model.shift[1] = 1.0
    assert fingerprint(model) != before


def test_bad_input_is_one_sentence(data) -> None:
    with pytest.raises(InvalidInput, match="finite"):
        certify(net(), data.test, data, bound=math.inf)
    with pytest.raises(InvalidInput, match="1 example or more"):
        certify(net(), data.test, data, batch=0)
    with pytest.raises(InvalidInput, match="10 classes"):
        certify(nn.Sequential(nn.Flatten(), PolyAct(), nn.Linear(64, 7)), data.test, data)
    with pytest.raises(InvalidInput, match="cannot take"):
        certify(nn.Sequential(nn.Conv2d(3, 4, 3), PolyAct()), data.test, data)
    with pytest.raises(InvalidInput, match="1 example or more"):
        export(net(), certify(net(), data.test, data, bound=1e3), "no.tacit", data, batch=0)
    with pytest.raises(InvalidInput, match="no polynomial activation"):
        certify(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), data.test, data)
    with pytest.raises(InvalidInput, match="no example"):
        certify(net(), Subset(data.test, torch.zeros(0, dtype=torch.int64)), data)
    with pytest.raises(InvalidInput, match="bound"):
        certify(net(), data.test, data, bound=0.0)
    with pytest.raises(InvalidInput, match="cuda"):
        certify(net(), data.test, data, device="cuda:99")


def test_inputs_given_by_name_are_seen(data) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flat, self.act, self.out = nn.Flatten(), PolyAct(), nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.act(x=self.flat(x)))

    x = data.normalise(data.test.batch(range(len(data.test)))[0])
    assert certify(Named(), data.test, data).largest == pytest.approx(float(x.abs().max()))
