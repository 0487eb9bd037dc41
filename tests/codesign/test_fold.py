"""Scales move into weights: equal outputs, the same plan and cost as a net that never had them; and what blocks it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import tacit
from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.finetune.fold import fold
from tacit.codesign.finetune.freedom import FIXED, Freedom
from tacit.codesign.finetune.normalise import observe, scales
from tacit.errors import InvalidInput


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


class Block(nn.Module):
    """conv, norm, act, conv, norm, sum, act."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, padding=1, groups=2), nn.BatchNorm2d(outputs)
        self.act1, self.act2 = PolyAct(), PolyAct()
        project = [nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)]
        self.shortcut = nn.Sequential(*project) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        return self.act2(y + self.shortcut(x))


class Net(nn.Module):
    """A stem, residual blocks in two stages, a flattening whose linear layer sees positions, a deep head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first = nn.Conv2d(3, 4, 3, padding=1), PolyAct()
        self.a, self.b, self.c = Block(4, 4), Block(4, 6, 2), Block(6, 6)
        self.pool, self.hidden, self.last = nn.AvgPool2d(2), nn.Linear(24, 5), PolyAct()
        self.norm, self.out = nn.BatchNorm1d(5), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.c(self.b(self.a(self.first(self.stem(x))))))
        return self.out(self.norm(self.last(self.hidden(torch.flatten(x, 1)))))


def made() -> Net:
    torch.manual_seed(5)
    net = Net().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return net


def acts(net: nn.Module) -> dict[str, PolyAct]:
    return {name: m for name, m in net.named_modules() if isinstance(m, PolyAct)}


def scaled(net: nn.Module, x: torch.Tensor, *, powers: bool = False) -> nn.Module:
    freedom = Freedom(net, x)
    for name, scale in scales(observe(net, acts(net), [x]), freedom, 3.0, powers=powers).items():
        acts(net)[name].rescale(scale)
    return net


X = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(6))


def test_activations_that_meet_in_sums_share_a_scale_and_others_have_their_own() -> None:
    sites = Freedom(made(), X).sites
    assert list(sites) == ["first", "a.act1", "a.act2", "b.act1", "b.act2", "c.act1", "c.act2", "last"]
    assert (sites["first"] == sites["a.act2"]).all()
    assert (sites["b.act2"] == sites["c.act2"]).all()
    groups = [set(sites[name].tolist()) for name in ("first", "a.act1", "b.act1", "b.act2", "c.act1", "last")]
    assert [len(group) for group in groups] == [4, 4, 6, 6, 6, 5]
    assert len(set.union(*groups)) == 31
    assert FIXED not in set.union(*groups)


@pytest.mark.parametrize("powers", [False, True])
def test_folding_leaves_outputs_and_no_scale(powers: bool) -> None:
    net = scaled(made(), X, powers=powers).double()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    folded = fold(net, X.double())
    assert all(act.scale == 1.0 for act in acts(folded).values())
    assert any(float((act.scale - 1).abs().max()) > 0.1 for act in acts(net).values())
    torch.testing.assert_close(folded(X.double()), net(X.double()), rtol=1e-9, atol=1e-9)
    assert all(bool((tensor == before[name]).all()) for name, tensor in net.state_dict().items())
    if powers:
        assert torch.equal(folded.float()(X), net.float()(X))


def test_calibration_brings_every_channel_within_reach() -> None:
    net = made()
    scaled(net, X)
    first = net.first.normalised(net.stem(X)).detach()
    peaks = first.abs().transpose(0, 1).flatten(1).amax(1)
    assert float(peaks.max()) <= 3.0 + 1e-4
    assert float(peaks.min()) > 0.3  # by channel, so that quiet ones are not lost


def test_a_folded_plan_costs_what_an_unscaled_one_does() -> None:
    plain, folded = made(), fold(scaled(made(), X), X)
    policy = tacit.Policy(ring=64, input_bits=14)
    plans = [tacit.compile(net, X[:1], policy=policy, calibration=[X[:1]]) for net in (plain, folded)]
    assert [s.op for s in plans[0].steps] == [s.op for s in plans[1].steps]
    bills = [plan.bill("wan") for plan in plans]
    assert {bill.turns for bill in bills} == {bills[0].turns}
    for phase in ("register", "deal", "prime", "online"):
        for rank in (0, 1):
            assert bills[0].sent(phase, rank) == bills[1].sent(phase, rank)
    polys = [node.attrs["coeffs"] for node in plans[1].graph.nodes if node.op == "poly"]
    assert len(polys) == 8
    assert all(texts == polys[0] for texts in polys)
    assert polys[0][4] == "-13/4096"


def test_a_folded_net_runs_privately_as_it_does_in_the_clear() -> None:
    folded = fold(scaled(made(), X), X)
    plan = tacit.compile(folded, X[:1], calibration=[X[i : i + 1] for i in range(4)])
    private = torch.from_numpy(tacit.simulate(plan, X[1:2].numpy()).outputs[0])
    clear = folded(X[1:2]).detach()
    assert float((private - clear).abs().max()) < 0.02 * float(clear.abs().max())


class Odd(nn.Module):
    """What does not commute with scales beside the first activation, and nothing beside the second."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.more, self.free = nn.Conv2d(3, 4, 1), PolyAct(), nn.Conv2d(4, 4, 1), PolyAct()
        self.out = nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.free(self.more(torch.sigmoid(self.act(self.conv(x))))))


def test_what_does_not_commute_with_scales_blocks_its_neighbours_alone_and_is_named() -> None:
    freedom = Freedom(Odd(), X)
    assert set(freedom.sites["act"].tolist()) == {FIXED}
    assert FIXED not in freedom.sites["free"]
    assert list(freedom.blocked) == ["act"]
    assert "sigmoid" in freedom.blocked["act"]
    net = Odd()
    net.free.rescale(torch.tensor([2.0, 3.0, 4.0, 5.0]))
    torch.testing.assert_close(fold(net, X)(X), net(X))
    net.act.rescale(torch.tensor([2.0, 3.0, 4.0, 5.0]))
    with pytest.raises(InvalidInput, match="sigmoid"):
        fold(net, X)


class Across(nn.Module):
    """A mean over channels, of which there are as many as rows: shapes alone do not tell it from one over positions."""

    def __init__(self, axes: object) -> None:
        super().__init__()
        self.conv, self.act, self.out, self.axes = nn.Conv2d(3, 8, 3, padding=1), PolyAct(), nn.LazyLinear(3), axes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.flatten(torch.mean(self.act(self.conv(x)), dim=self.axes), 1))


@pytest.mark.parametrize("axes", [1, -3, (1, 2), 2, (-2, -1), [3]])
def test_a_mean_over_channels_mixes_their_scales(axes: object) -> None:
    torch.manual_seed(1)
    net, x = Across(axes).eval(), torch.randn(2, 3, 8, 8)
    net(x)
    mixes = axes in (1, -3, (1, 2))
    assert (set(Freedom(net, x).sites["act"].tolist()) == {FIXED}) is mixes
    net.act.rescale(torch.rand(8) + 0.5)
    if mixes:
        with pytest.raises(InvalidInput, match="mean"):
            fold(net, x)
    else:
        torch.testing.assert_close(fold(net, x)(x), net(x))


class Joined(nn.Module):
    """Arguments by name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.out = nn.Conv2d(3, 4, 1), PolyAct(scale=torch.rand(4) + 0.5), nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act(self.conv(x))
        return self.out(torch.cat(tensors=[y, functional.pad(input=y, pad=(0, 0), value=0.0)], dim=1))


def test_arguments_by_name() -> None:
    torch.manual_seed(2)
    net, x = Joined().eval(), torch.randn(2, 3, 4, 4)
    assert FIXED not in Freedom(net, x).sites["act"]
    torch.testing.assert_close(fold(net, x)(x), net(x))


def test_scales_that_must_agree_and_do_not_are_refused() -> None:
    net = scaled(made(), X)
    net.first.rescale(net.first.scale * 2)
    with pytest.raises(InvalidInput, match=r"cannot move into weights"):
        fold(net, X)


class Mixed(nn.Module):
    """Concatenation, depthwise and transposed convolutions, padded channels, a layer called twice, a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.acts = (
            nn.Conv2d(3, 4, 1),
            nn.Conv2d(3, 2, 1),
            nn.ModuleList(PolyAct() for _ in range(5)),
        )
        self.depth, self.up = nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.ConvTranspose2d(6, 4, 2, 2)
        self.twice, self.out = nn.Conv2d(4, 4, 1), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([self.acts[0](self.one(x)), self.acts[1](self.two(x))], 1)
        x = self.acts[2](self.up(self.depth(x)))
        x = self.twice(self.acts[3](self.twice(x)))
        x = functional.pad(self.acts[4](x), (0, 0, 0, 0, 0, 2))
        return self.out(functional.relu(x).mean((2, 3)))


def test_every_kind_of_layer_absorbs_scales() -> None:
    torch.manual_seed(7)
    net = scaled(Mixed().eval(), X).double()
    assert all(float((act.scale - 1).abs().max()) > 1e-3 for act in net.acts)
    torch.testing.assert_close(fold(net, X.double())(X.double()), net(X.double()), rtol=1e-9, atol=1e-9)
    sites = Freedom(net, X.double()).sites
    assert (sites["acts.2"] == sites["acts.3"]).all()  # the layer between them is called twice
    assert (sites["acts.3"] == sites["acts.4"]).all()


def test_layers_with_shared_weights_keep_them() -> None:
    torch.manual_seed(8)
    one, two = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
    two.weight = one.weight
    net = nn.Sequential(one, PolyAct(), two, PolyAct(), nn.Conv2d(3, 2, 1))
    freedom = Freedom(net, X)
    assert set(freedom.blocked) == {"1", "3"}
    assert "shares" in freedom.blocked["1"]


def test_a_norm_without_parameters_gets_them_where_it_must_change() -> None:
    torch.manual_seed(9)
    norm = nn.BatchNorm2d(4, affine=False)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), norm, PolyAct(), nn.Conv2d(4, 2, 1)).eval()
    scaled(net, X)
    torch.testing.assert_close(fold(net, X)(X), net(X))
    assert norm.weight is None


def test_modes_and_the_original_stay() -> None:
    net = scaled(made(), X).train()
    net.a.eval()
    copied = copy.deepcopy(net.state_dict())
    folded = fold(net, X)
    assert folded.training
    assert not folded.a.training
    assert all(torch.equal(copied[k], v) for k, v in net.state_dict().items())


def test_a_forward_with_conditions_on_data_cannot_be_traced() -> None:
    class Choosing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(InvalidInput, match=r"torch\.fx cannot trace"):
        Freedom(Choosing(), X)


def test_broken_weights_and_no_images_are_refused() -> None:
    net = made()
    with pytest.raises(InvalidInput, match="no image"):
        observe(net, acts(net), [])
    with torch.no_grad():
        net.stem.bias[0] = torch.nan
    with pytest.raises(InvalidInput, match="not finite"):
        observe(net, acts(net), [X])
