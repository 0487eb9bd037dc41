"""Import from PyTorch: the Graph computes what the module computes, and every problem is named at once."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tacit.errors import InvalidInput, Refused
from tacit.front.clear import run_clear
from tacit.front.torch import from_torch
from tacit.ir import Graph


class Fn(nn.Module):
    """A module of one function, with trained values a [3], b [3, 1, 1], m [8, 5] and the scalar s."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function
        self.a = nn.Parameter(torch.tensor([1.5, -2.0, 0.25]))
        self.b = nn.Parameter(torch.tensor([0.5, 3.0, -1.0]).reshape(3, 1, 1))
        self.m = nn.Parameter(torch.linspace(-1, 1, 40).reshape(8, 5))
        self.s = nn.Parameter(torch.tensor(0.75))

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(self, *inputs)


def sample(*shape: int) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32))


def randomised(model: nn.Module) -> nn.Module:
    """The model with lively batch norm statistics, so that folding them wrongly shows."""
    rng = np.random.default_rng(7)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            size = module.num_features
            module.running_mean = torch.tensor(rng.normal(size=size), dtype=torch.float32)
            module.running_var = torch.tensor(rng.uniform(0.5, 2, size=size), dtype=torch.float32)
            if module.affine:
                module.weight.data = torch.tensor(rng.normal(size=size), dtype=torch.float32)
                module.bias.data = torch.tensor(rng.normal(size=size), dtype=torch.float32)
    return model


def checked(model: nn.Module, *inputs: torch.Tensor, atol: float = 1e-5) -> Graph:
    """The Graph, after comparing its values with the module's own in double precision."""
    graph = from_torch(model, inputs)
    values = run_clear(graph, *(x.numpy() for x in inputs))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of slow paths
        expected = model.double().eval()(*(x.double() for x in inputs))
    parts = expected.values() if isinstance(expected, dict) else expected if isinstance(expected, tuple) else [expected]
    outputs = [part for part in parts if part is not None]
    assert len(outputs) == len(values)
    for value, output in zip(values, outputs, strict=True):
        assert value.shape == tuple(output.shape)
        np.testing.assert_allclose(value, output.numpy(), atol=atol)
    model.float()
    assert all(array.dtype == np.float32 for array in graph.weights.values())
    return graph


def counts(graph: Graph) -> dict[str, int]:
    return dict(Counter(node.op for node in graph.nodes if node.op != "input"))


IMAGE, ROW = sample(2, 3, 8, 8), sample(4, 8)
FUNCTIONS: list[tuple[str, Any, torch.Tensor, dict[str, int]]] = [
    ("matmul", lambda s, x: x @ s.m, ROW, {"linear": 1}),
    ("deep linear", lambda s, x: F.linear(x, s.m[:, :1].T), sample(2, 3, 8), {"linear": 1}),
    ("addmm", lambda s, x: torch.addmm(s.s.reshape(1), x, s.m, alpha=2, beta=3), ROW, {"linear": 1}),
    ("mm t", lambda s, x: torch.mm(x, s.m) @ s.m.t(), ROW, {"linear": 2}),
    ("channel scale", lambda s, x: x * s.b, IMAGE, {"affine": 1}),
    ("scalar scale", lambda s, x: s.s * x, IMAGE, {"affine": 1}),
    ("scale and shift", lambda s, x: x / s.b + s.b, IMAGE, {"affine": 1}),
    ("bias", lambda s, x: s.b + x - 2 * s.s, IMAGE, {"bias": 2}),
    ("reversed difference", lambda s, x: s.b - x, IMAGE, {"scale": 1, "bias": 1}),
    ("buffer of literals", lambda s, x: x + torch.ones(1, 3, 1, 1), IMAGE, {"bias": 1}),
    ("lifted tensor", lambda s, x: x + torch.tensor(2.0), IMAGE, {"bias": 1}),
    ("shift", lambda s, x: x - 0.1, IMAGE, {"bias": 1}),
    ("scale", lambda s, x: -x / 3, IMAGE, {"scale": 1}),
    ("power sum", lambda s, x: sum(c * x**i for i, c in enumerate([0.5, 2, 0.25])), IMAGE, {"poly": 1}),
    (
        "trained power sum",
        lambda s, x: sum(c * x**i for i, c in enumerate(s.a)),
        IMAGE,
        {"scale": 1, "bias": 1, "affine": 3, "poly": 1, "add": 2},
    ),
    ("two activations", lambda s, x: x.mean(2) * x.mean(3), IMAGE, {"mean": 2, "mul": 1}),
    ("gates", lambda s, x: x * x.mean((2, 3), keepdim=True), IMAGE, {"mean": 1, "mul": 1}),
    ("fewer axes", lambda s, x: x * x.mean((1, 2)), sample(8, 3, 8), {"mean": 1, "reshape": 1, "mul": 1}),
    ("trained coefficients", lambda s, x: (s.b * x + 1) * x, IMAGE, {"affine": 1, "mul": 1}),
    ("high degree", lambda s, x: (x**4) * (x.square() * x), IMAGE, {"poly": 2, "mul": 1}),
    ("scores", lambda s, x: x @ x.transpose(-1, -2), IMAGE, {"permute": 1, "matmul": 1}),
    ("batched", lambda s, x: torch.bmm(x, x.permute(0, 2, 1)), sample(2, 3, 8), {"permute": 1, "matmul": 1}),
    ("gram", lambda s, x: torch.mm(x.t(), x), ROW, {"permute": 1, "matmul": 1}),
    ("shared matrix", lambda s, x: x @ x.mean((0, 1)), IMAGE, {"mean": 1, "reshape": 1, "matmul": 1}),
    ("constant on the left", lambda s, x: s.m.t()[:3] @ x, IMAGE, {"permute": 2, "linear": 1}),
    ("broadcast sum", lambda s, x: x + x.mean(1, keepdim=True), IMAGE, {"mean": 1, "expand": 1, "add": 1}),
    ("broadcast difference", lambda s, x: x.mean((0, 1)) - x, IMAGE, {"mean": 1, "reshape": 1, "expand": 1, "sub": 1}),
    ("expand", lambda s, x: x[None].expand(2, -1, 3, 8, 8) * 2, IMAGE, {"reshape": 1, "expand": 1, "scale": 1}),
    ("no output beside one", lambda s, x: {"y": x * 2, "loss": None}, IMAGE, {"scale": 1}),
    ("scale and literal", lambda s, x: 1 - 0.5 * x, IMAGE, {"scale": 1, "bias": 1}),
    ("add alpha", lambda s, x: torch.add(x.mean(1), x.sum(1), alpha=2), IMAGE, {"mean": 2, "scale": 1, "add": 1}),
    ("sub", lambda s, x: x.mean(2) - x.mean(3), IMAGE, {"mean": 2, "sub": 1}),
    ("in place", lambda s, x: (x * 2).add_(1).mul_(s.b), IMAGE, {"scale": 1, "bias": 1, "affine": 1}),
    ("cat", lambda s, x: torch.cat([x, x * 2], 1), IMAGE, {"concat": 1, "scale": 1}),
    ("stack", lambda s, x: torch.stack([x, -x], -1), IMAGE, {"reshape": 2, "scale": 1, "concat": 1}),
    ("avg pool", lambda s, x: F.avg_pool2d(x, 3, 2, 1), IMAGE, {"sumpool": 1}),
    ("avg pool divisor", lambda s, x: F.avg_pool2d(x, 2, divisor_override=3), IMAGE, {"sumpool": 1}),
    ("avg pool 1d", lambda s, x: F.avg_pool1d(x, 2), sample(2, 3, 8), {"reshape": 2, "sumpool": 1}),
    ("avg pool ceil", lambda s, x: F.avg_pool2d(x, 2, ceil_mode=True), IMAGE, {"sumpool": 1}),
    ("adaptive", lambda s, x: F.adaptive_avg_pool2d(x, (2, None)), IMAGE, {"sumpool": 1}),
    ("adaptive to one", lambda s, x: F.adaptive_avg_pool2d(x, 1).flatten(1), IMAGE, {"mean": 1, "reshape": 1}),
    ("adaptive 1d", lambda s, x: F.adaptive_avg_pool1d(x, 4), sample(2, 3, 8), {"reshape": 2, "sumpool": 1}),
    ("means", lambda s, x: (x.mean((2, 3), keepdim=True), x.mean()), IMAGE, {"mean": 2}),
    ("sums", lambda s, x: (x.sum(-1), x.sum()), IMAGE, {"mean": 2, "scale": 2}),
    ("of no axes", lambda s, x: (x.mean() + s.s, x.mean() - 1), IMAGE, {"mean": 2, "bias": 2}),
    ("views", lambda s, x: x.flatten(1).view(2, -1, 4).unflatten(1, (6, -1)), IMAGE, {"reshape": 3}),
    ("squeeze", lambda s, x: x.mean(1, True).squeeze(1).unsqueeze(-1).squeeze(), IMAGE, {"mean": 1, "reshape": 3}),
    ("orders", lambda s, x: x.permute(0, 2, 3, 1).transpose(1, -1).contiguous(), IMAGE, {"permute": 2}),
    ("pad", lambda s, x: F.pad(x, (1, 0, 0, 2)), IMAGE, {"pad": 1}),
    ("pad channels", lambda s, x: F.pad(x, (0, 0, 0, 0, 1, 1)), IMAGE, {"pad": 1}),
    ("vanishing", lambda s, x: F.dropout(x.detach().clone(), 0.5, s.training).float() * 2, IMAGE, {"scale": 1}),
    ("expand to itself", lambda s, x: x.expand(-1, 3, 8, 8) * 2, IMAGE, {"scale": 1}),
]


@pytest.mark.parametrize(("function", "x", "expected"), [f[1:] for f in FUNCTIONS], ids=[f[0] for f in FUNCTIONS])
def test_functions(function: Any, x: torch.Tensor, expected: dict[str, int]) -> None:
    assert counts(checked(Fn(function), x)) == expected


LAYERS: list[tuple[str, Any, torch.Tensor, dict[str, int]]] = [
    ("linear", lambda: nn.Linear(8, 3), ROW, {"linear": 1}),
    ("conv stride", lambda: nn.Conv2d(3, 4, (3, 2), (2, 1), (1, 0), bias=False), IMAGE, {"conv": 1}),
    ("conv same", lambda: nn.Conv2d(3, 4, (4, 3), padding="same", dilation=(1, 2)), IMAGE, {"pad": 1, "conv": 1}),
    ("conv same odd", lambda: nn.Conv2d(3, 4, 3, padding="same"), IMAGE, {"conv": 1}),
    ("conv valid", lambda: nn.Conv2d(3, 4, 3, padding="valid"), IMAGE, {"conv": 1}),
    ("depthwise", lambda: nn.Conv2d(3, 6, 3, groups=3), IMAGE, {"conv": 1}),
    ("groups", lambda: nn.Conv2d(4, 6, 3, groups=2), sample(1, 4, 5, 5), {"conv": 1}),
    ("conv1d", lambda: nn.Conv1d(3, 4, 3, 2, 1), sample(2, 3, 9), {"reshape": 2, "conv": 1}),
    ("conv1d same", lambda: nn.Conv1d(3, 4, 4, padding="same"), sample(2, 3, 9), {"reshape": 2, "pad": 1, "conv": 1}),
    ("batch norm", lambda: nn.BatchNorm2d(3), IMAGE, {"affine": 1}),
    ("conv, norm", lambda: nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)), IMAGE, {"conv": 1}),
    ("bare norm", lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)), IMAGE, {"conv": 1}),
    ("linear, norm", lambda: nn.Sequential(nn.Linear(8, 3), nn.BatchNorm1d(3)), ROW, {"linear": 1}),
    (
        "conv1d, norm",
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4)),
        sample(2, 3, 9),
        {"reshape": 2, "conv": 1},
    ),
    ("identity, dropout", lambda: nn.Sequential(nn.Identity(), nn.Dropout(), nn.Linear(8, 3)), ROW, {"linear": 1}),
    ("weight norm", lambda: nn.utils.parametrizations.weight_norm(nn.Linear(8, 3)), ROW, {"linear": 1}),
]


@pytest.mark.parametrize(("layer", "x", "expected"), [f[1:] for f in LAYERS], ids=[f[0] for f in LAYERS])
def test_layers(layer: Any, x: torch.Tensor, expected: dict[str, int]) -> None:
    assert counts(checked(randomised(layer()), x)) == expected


class Quad(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.117071 * x * x + 0.5 * x + 0.25


class Block(nn.Module):
    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.short = nn.Identity() if stride == 1 else nn.Sequential(nn.Conv2d(width, out, 1, 2), nn.BatchNorm2d(out))
        self.act = Quad()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))
        y += self.short(x)
        return self.act(y)


def test_a_residual_net() -> None:
    blocks = [Block(4, 4, 1), Block(4, 6, 2)]
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), Quad(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    graph = checked(randomised(nn.Sequential(model, nn.Linear(6, 5))), IMAGE, atol=1e-3)
    assert counts(graph) == {"conv": 6, "poly": 5, "add": 2, "mean": 1, "reshape": 1, "linear": 1}
    assert {tuple(n.attrs["coeffs"]) for n in graph.nodes if n.op == "poly"} == {("1/4", "1/2", "117071/1000000")}  # type: ignore[arg-type]
    assert graph["0.0"].source == "0.0 (aten.conv2d.default)"
    assert [node.id.rsplit(".", 1)[0] for node in graph.nodes if node.op == "add"] == ["0.3", "0.4"]
    assert "array" not in repr(graph)


def test_two_inputs_and_three_outputs() -> None:
    graph = checked(Fn(lambda s, x, y: (x + y, x, {"last": y * 2}["last"])), ROW, sample(4, 8) * 2)
    assert [node.id for node in graph.inputs] == ["inputs_0", "inputs_1"]
    assert graph.outputs[1] == "inputs_0"


def test_an_unused_input_stays() -> None:
    assert len(checked(Fn(lambda s, x, y: x * 2), ROW, ROW).inputs) == 2


def test_tied_weights_are_stored_once() -> None:
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.weight = first.weight
    graph = checked(nn.Sequential(first, Quad(), second), ROW)
    assert sorted(array.shape for array in graph.weights.values()) == [(8,), (8,), (8, 8)]


def test_a_norm_after_one_use_of_a_tied_weight_spares_the_other() -> None:
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.weight = first.weight
    graph = checked(randomised(nn.Sequential(first, nn.BatchNorm1d(8), Quad(), second)), ROW)
    assert counts(graph) == {"linear": 2, "poly": 1}
    assert len(graph.weights) == 4


def test_a_norm_is_not_folded_into_a_layer_that_others_read() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            return y + self.norm(y)

    assert counts(checked(randomised(Twice()), IMAGE)) == {"conv": 1, "affine": 1, "add": 1}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(8, 4), Quad(), nn.Linear(4, 2)).to(dtype)
    graph = from_torch(model, ROW.to(dtype))
    value = run_clear(graph, ROW.to(dtype).double().numpy())[0]
    expected = model.double()(ROW.to(dtype).double()).detach().numpy()
    np.testing.assert_allclose(value, expected, atol=1e-6)


def test_the_model_comes_back_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(8, 4), nn.Dropout(), nn.BatchNorm1d(4)).train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    from_torch(model, ROW)
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


class Twelve(nn.Module):
    """Twelve different problems, each on a path of its own or behind another."""

    def __init__(self) -> None:
        super().__init__()
        self.lookup = nn.Embedding(4, 8)

    def forward(self, x: torch.Tensor, row: torch.Tensor) -> Any:
        y, places = F.max_pool2d(torch.sin(x), 2, return_indices=True)
        z = row.cumsum(1).sort(1)[0] + torch.rand(4, 8)
        grid = F.grid_sample(x, torch.tan(x[:, :2].permute(0, 2, 3, 1)), align_corners=False)
        return y, places, self.lookup(row.kthvalue(2, 1)[1]), (z == row) * row, grid.median(1)[0], row.prod(1)


def test_all_problems_at_once() -> None:
    with pytest.raises(Refused) as caught:
        from_torch(Twelve(), (IMAGE, ROW))
    refusals = caught.value.refusals
    named = [r.where.rpartition("(")[2].rstrip(")").split(".")[1] for r in refusals if "aten" in r.where]
    expected = "sin max_pool2d_with_indices cumsum sort rand tan kthvalue embedding eq grid_sampler median prod"
    assert sorted(named) == sorted(expected.split())
    kinds = {name: r.kind for name, r in zip(named, refusals, strict=True)}
    assert (kinds["sin"], kinds["embedding"], kinds["rand"]) == ("replace", "not yet", "never")
    assert all(r.advice.endswith(".") and r.what for r in refusals)
    assert len(str(caught.value).splitlines()) == 13


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda s, x: s.m * 2, "does not depend on the input"),
        (lambda s, x: F.dropout(x, 0.5, True), "stays active"),
        (lambda s, x: F.batch_norm(x, None, None, training=True), "statistics"),
        (lambda s, x: x.to(torch.int32), "int32"),
        (lambda s, x: torch.fft.fft(x).real, "not known here"),
        (lambda s, x: x.mul_(2), "writes to its"),
        (lambda s, x: x * 1j, "finite real numbers"),
        (lambda s, x: x - float("inf"), "finite real numbers"),
        (lambda s, x: torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,)), "control flow"),
        (lambda s, x: (x * 2, 3), "does not depend"),
    ],
)
def test_refusals(function: Any, message: str) -> None:
    with pytest.raises(Refused, match=message):
        from_torch(Fn(function), IMAGE)


def test_nan_weights_are_named() -> None:
    model = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2))
    model[0].weight.data[0, 0] = float("nan")
    model[1].bias.data[0] = float("inf")
    with pytest.raises(Refused) as caught:
        from_torch(model, ROW)
    assert [r.where for r in caught.value.refusals] == ["0.weight", "1.bias"]
    assert "nan" not in str(caught.value).lower().replace("nan or infinity", "")


def test_weights_beyond_float32_are_named() -> None:
    model = nn.Linear(8, 4).double()
    model.weight.data[0, 0] = 1e300
    with pytest.raises(Refused, match=r"weight: weights that leave the range of float32"):
        from_torch(model, ROW.double())


def test_what_export_cannot_trace_is_one_sentence() -> None:
    with pytest.raises(InvalidInput, match=r"torch\.export cannot trace") as caught:
        from_torch(Fn(lambda s, x: x * 2 if x.sum() > 0 else x), ROW)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("model", "example"), [(nn.ReLU(), [1.0]), (lambda x: x, ROW), (nn.ReLU(), ())])
def test_wrong_arguments(model: Any, example: Any) -> None:
    with pytest.raises(InvalidInput, match=r"takes a torch\.nn\.Module"):
        from_torch(model, example)


def test_sparse_parameters_are_named() -> None:
    model = Fn(lambda s, x: x + torch.sparse.mm(s.kernel, s.m.T).sum())
    model.kernel = nn.Parameter(torch.eye(5).to_sparse(), requires_grad=False)
    with pytest.raises(InvalidInput, match="kernel is not a dense tensor"):
        from_torch(model, ROW)
