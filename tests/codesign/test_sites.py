"""Sites: modules, functions, modules used twice, code that cannot be traced; nothing else about the model changes."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.activations.stochastic import StochasticReLU
from tacit.codesign.separate import separate
from tacit.codesign.sites import sites
from tacit.errors import InvalidInput
from tacit.front.load import load_model


class Block(nn.Module):
    """One ReLU module called twice, and a shortcut."""

    def __init__(self, width: int, act: nn.Module | None = None) -> None:
        super().__init__()
        self.a, self.b, self.relu = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1), act or nn.ReLU()
        self.unused, self.note = nn.Linear(2, 2), "kept"

    def forward(self, x: torch.Tensor, more: torch.Tensor | None = None) -> torch.Tensor:
        y = self.b(self.relu(self.a(x)))
        return self.relu(y + (x if more is None else more))


class Functions(nn.Module):
    """Functions, methods, pools, a dropout of training, an in-place call whose input is read again, a list."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.acts = Block(4), nn.ModuleList([nn.GELU(), nn.SiLU()])
        self.gate, self.out = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.leaky_relu(self.block(x), 0.2)
        z = y * 0.5
        F.relu(z, inplace=True)
        y = F.max_pool2d(y + z, 2, stride=1, padding=1)
        for act in self.acts:
            y = act(y).relu()
        y = F.dropout(F.adaptive_max_pool2d(y, 1).flatten(1), 0.5, training=self.training)
        return self.out(y * torch.sigmoid(self.gate(y)))


class Choosy(nn.Module):
    """Branches on its data, which no tracer follows."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(F.silu(x)) if x.sum() > -1e9 else x


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def names(model: nn.Module, x: torch.Tensor) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(site.name, site.kind, site.shape) for site in sites(model, x)]


def test_calls_are_sites_in_the_order_they_run() -> None:
    big, pooled, small = (4, 6, 6), (4, 7, 7), (4,)
    assert names(Functions(), draw(2, 4, 6, 6)) == [
        ("block.relu", "relu", big),
        ("block.relu_2", "relu", big),
        ("leaky_relu", "leaky_relu", big),
        ("relu", "relu", big),
        ("maxpool", "maxpool", big),
        ("acts.0", "gelu", pooled),
        ("relu_2", "relu", pooled),
        ("acts.1", "silu", pooled),
        ("relu_3", "relu", pooled),
        ("maxpool_2", "maxpool", pooled),
        ("sigmoid", "sigmoid", small),
    ]


@pytest.mark.parametrize("training", [True, False])
def test_what_is_told_apart_computes_the_same(training: bool) -> None:
    model, x = Functions().train(training), draw(2, 4, 6, 6)
    apart = separate(copy.deepcopy(model))
    assert apart.training == training
    assert list(apart.state_dict()) == list(model.state_dict())
    assert apart.block.note == "kept"
    with torch.no_grad():
        torch.manual_seed(7)
        wanted = model(x)
        torch.manual_seed(7)
        assert torch.allclose(apart(x), wanted)
        assert torch.allclose(copy.deepcopy(apart).eval()(x), model.eval()(x))
        assert torch.allclose(apart.eval()(x), model(x))


def test_the_model_itself_stays_as_it_is() -> None:
    model, x = Functions(), draw(2, 4, 6, 6)
    before, modes = repr(model), [m.training for m in model.modules()]
    sites(model, x)
    assert repr(model) == before
    assert [m.training for m in model.modules()] == modes
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_one_instance_in_several_places() -> None:
    act = nn.ReLU()
    model = nn.Sequential(Block(2, act), act, nn.Conv2d(2, 2, 1), act)
    found = names(model, draw(1, 2, 3, 3))
    assert [name for name, *_ in found] == ["0.relu", "0.relu_2", "1", "3"]
    assert not isinstance(separate(nn.Sequential(nn.Linear(2, 2), act, act))[0], torch.fx.GraphModule)


def test_a_block_used_twice_is_one_site_of_two_calls() -> None:
    block = nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU())
    (site,) = sites(nn.Sequential(block, block), draw(3, 2, 4, 4))
    assert (site.name, site.calls, site.count, site.shape) == ("0.1", 2, 2 * 32, (2, 4, 4))


def test_what_cannot_be_traced_is_seen_when_it_runs() -> None:
    found = sites(nn.Sequential(Choosy(), nn.ReLU()), draw(2, 3))
    assert [(s.name, s.kind, bool(s.fixed)) for s in found] == [
        ("0.silu", "silu", True),
        ("0.act", "relu", False),
        ("1", "relu", False),
    ]


def test_names_are_those_of_a_plan() -> None:
    """After the separation every activation of a Graph carries its site's name."""
    model, x = separate(nn.Sequential(Block(2), nn.Flatten(), nn.Linear(18, 2), nn.ReLU())), draw(1, 2, 3, 3)
    graph = load_model(model, x)
    assert [n.id for n in graph.nodes if n.op == "relu"] == [site.name for site in sites(model, x)]


def test_stochastic_relus_are_sites_and_polynomials_are_none() -> None:
    model = nn.Sequential(nn.Linear(3, 3), StochasticReLU(16, 4, 2), PolyAct(), nn.ReLU())
    assert [name for name, *_ in names(model, draw(5, 3))] == ["1", "3"]


def test_a_forward_that_depends_on_an_argument_is_refused() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Block(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x, 2 * x)

    with pytest.raises(InvalidInput, match="optional arguments"):
        sites(Two(), draw(1, 2, 3, 3))


def test_bad_input() -> None:
    with pytest.raises(InvalidInput, match="no activation that is known"):
        sites(nn.Sequential(nn.Linear(2, 2), nn.Flatten()), draw(1, 2))
    with pytest.raises(InvalidInput, match="but polynomials"):
        sites(nn.Sequential(nn.Linear(2, 2), PolyAct()), draw(1, 2))
    with pytest.raises(InvalidInput, match="does not run on the example"):
        sites(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), draw(1, 3))
    with pytest.raises(InvalidInput, match="an example is"):
        sites(nn.Sequential(nn.ReLU()), "x")
    with pytest.raises(InvalidInput, match=r"torch\.nn\.Module"):
        sites("model", draw(1, 2))


def test_inputs_given_by_name() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act = nn.Conv2d(3, 2, 1), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.act(input=self.conv(x))

    found = sites(Named(), torch.zeros(1, 3, 4, 4))
    assert [(site.name, site.kind, site.count) for site in found] == [("act", "relu", 32)]
