"""convert: what each choice makes of each site, and what the report says; pools; a net end to end, privately."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import nn

import tacit
from tacit import codesign
from tacit.codesign.activations.fit import fit
from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.conversion import convert
from tacit.errors import InvalidInput
from tacit.front.load import load_model


class Small(nn.Module):
    """Two convolutions with a norm, a pool, a residual sum, a function; every way an activation may be written."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu, self.pool, self.fc = nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Linear(4 * 4 * 4, 8)
        self.out = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.relu(self.bn1(self.conv1(x))))
        x = self.relu(x + self.bn2(self.conv2(x)))
        return self.out(F.gelu(self.fc(x.flatten(1))))


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_every_site_is_reported() -> None:
    done = convert(Small(), draw(2, 1, 8, 8))
    assert [(c.site.name, c.site.shape, c.site.count) for c in done.changes] == [
        ("relu", (4, 8, 8), 256),
        ("pool", (4, 8, 8), 256),
        ("relu_2", (4, 4, 4), 64),
        ("gelu", (8,), 8),
    ]
    assert not done.left
    assert len(done.replaced) == 4
    model = done.model
    assert [type(m) for m in (model.relu, model.relu_2, model.gelu)] == [PolyAct] * 3
    assert model.relu.polynomial == fit()
    assert model.gelu.polynomial == fit(target="gelu")
    text = io.StringIO()
    Console(file=text, width=200).print(done.table())
    for word in ("relu_2", "4x8x8", "ReLU()", "PolyAct", "AvgPool2d", "256"):
        assert word in text.getvalue()
    assert "4 of 4 sites replaced" in str(done)


def test_choices_by_name() -> None:
    made = nn.Hardswish()
    done = convert(
        Small(),
        draw(2, 1, 8, 8),
        activation={"relu": "identity", "relu_2": lambda: PolyAct(degree=2), "gelu": lambda: made},
        keep=["pool"],
    )
    assert isinstance(done.model.relu, nn.Identity)
    assert done.model.relu_2.polynomial == fit(2)
    assert done.model.gelu is made
    assert [(c.site.name, c.reason) for c in done.left] == [("pool", "as asked")]
    kept = convert(Small(), activation={"gelu": "poly"}, maxpool="keep")
    assert {c.site.name: c.reason for c in kept.left} == {
        "relu": "not named",
        "pool": "as asked",
        "relu_2": "not named",
    }
    assert isinstance(kept.model.pool, nn.MaxPool2d)


def test_without_an_example_and_in_place() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Sigmoid())
    done = convert(model, inplace=True)
    assert done.model is model
    assert isinstance(model[1], PolyAct)
    assert isinstance(model[2], nn.Sigmoid)
    assert "gate" in done.left[0].reason
    assert isinstance(convert(model, activation={"2": "poly"}).model[2], PolyAct)


@pytest.mark.parametrize(
    ("act", "target"),
    [
        (nn.ReLU6(), lambda x: np.clip(x, 0, 6)),
        (nn.LeakyReLU(0.3), lambda x: np.where(x > 0, x, 0.3 * x)),
        (nn.ELU(2.0), lambda x: np.where(x > 0, x, 2 * np.expm1(np.minimum(x, 0)))),
        (nn.SiLU(), lambda x: x / (1 + np.exp(-x))),
    ],
)
def test_each_activation_gets_its_own_polynomial(act: nn.Module, target: object) -> None:
    found = convert(nn.Sequential(nn.Linear(2, 2), act), degree=3, bits=9, interval=4.0).model[1].polynomial
    assert found == fit(3, 9, 4.0, target=target)  # type: ignore[arg-type]


def test_slopes_that_were_trained_have_no_public_polynomial() -> None:
    done = convert(nn.Sequential(nn.Linear(2, 2), nn.PReLU()))
    assert "no public polynomial" in done.left[0].reason


POOLS = [
    nn.MaxPool2d(2),
    nn.MaxPool2d(3, 2, 1),
    nn.MaxPool2d((3, 2), (2, 1), (1, 0), ceil_mode=True),
    nn.AdaptiveMaxPool2d((3, 2)),
    nn.AdaptiveMaxPool2d(1),
]


@pytest.mark.parametrize("pool", POOLS)
def test_pools_keep_their_geometry(pool: nn.Module) -> None:
    """The average of what the maximum compares: padding is in neither."""
    model = nn.Sequential(nn.ReLU(), pool)
    x = draw(2, 3, 7, 6)
    average = convert(model, x).model[1]
    assert average(x).shape == pool(x).shape
    ones = torch.ones(2, 3, 7, 6)
    assert torch.equal(average(ones), pool(ones))
    graph = load_model(nn.Sequential(average), x)
    assert not {"max", "maximum"} & {node.op for node in graph.nodes}


def test_pools_that_stay() -> None:
    class Indices(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.MaxPool2d(2, return_indices=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.pool(F.relu(x))[0]

    done = convert(nn.Sequential(Indices(), nn.MaxPool2d(2, dilation=2)), draw(1, 1, 8, 8))
    assert {c.site.name: c.reason for c in done.left} == {
        "0.pool": "its indices are used",
        "1": "an average pool has no dilation",
    }


def test_bad_input() -> None:
    with pytest.raises(InvalidInput, match="no activation"):
        convert(nn.Sequential(nn.Linear(2, 2), nn.MaxPool1d(2)))
    with pytest.raises(InvalidInput, match="no site relu_9; it has relu, pool, relu_2, gelu"):
        convert(Small(), draw(1, 1, 8, 8), keep=["relu_9"])
    with pytest.raises(InvalidInput, match="no site nowhere"):
        convert(Small(), activation={"nowhere": "poly"})
    with pytest.raises(InvalidInput, match="'quartic'"):
        convert(Small(), activation="quartic")
    with pytest.raises(InvalidInput, match="maxpool"):
        convert(Small(), maxpool="median")
    with pytest.raises(InvalidInput, match=r"no torch\.nn\.Module: int"):
        convert(Small(), activation=lambda: 3)
    with pytest.raises(InvalidInput, match="convert takes"):
        convert("model")


def test_a_converted_net_runs_privately_as_it_does_in_the_clear() -> None:
    torch.manual_seed(0)
    data = [draw(1, 1, 8, 8, seed=i) for i in range(12)]
    model = Small()
    model.train()
    for _ in range(3):
        model(torch.cat(data))
    done = convert(model.eval(), data[0])
    graph = load_model(done.model, data[0])
    wanted = [[str(Fraction(n, 4096)) for n in fit(target=t).numerators] for t in ("relu", "relu", "gelu")]
    assert [node.attrs["coeffs"] for node in graph.nodes if node.op == "poly"] == wanted
    plan = tacit.compile(done.model, data[0], calibration=data)
    assert {step.protocol for step in plan.steps} == {"masked"}
    for x in data[:4]:
        with torch.no_grad():
            clear = done.model.eval()(x).numpy()
        private = tacit.simulate(plan, x.numpy()).outputs[0]
        assert np.abs(private - clear).max() < 5e-3 * max(1.0, np.abs(clear).max())
        assert private.argmax() == clear.argmax()


def test_the_name_of_the_function_stays_a_function() -> None:
    import tacit.codesign.conversion
    import tacit.codesign.sites  # noqa: F401

    assert callable(codesign.convert)
