"""Softmax, norms by the query's own statistics, attention and quotients: from torch and ONNX, in the clear and in
secret.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn

import tacit
from tacit.errors import InvalidInput, Refused
from tacit.front.clear import run_clear
from tacit.front.domains import with_domains
from tacit.front.load import load_model
from tacit.front.onnx import from_onnx
from tacit.testing.graphs import Sketch, nrmse


class Calls(nn.Module):
    """A function as a module."""

    def __init__(self, call: Any) -> None:
        super().__init__()
        self.call = call

    def forward(self, *xs: torch.Tensor) -> Any:
        return self.call(*xs)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).normal(size=shape), dtype=torch.float32)


def perturbed(module: nn.Module) -> nn.Module:
    """Gains and offsets that are not ones and zeros."""
    torch.manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return module.eval()


X = drawn(2, 6, 8)
MASK = torch.tensor(np.tri(6, 6, 2, dtype=bool))
MODELS: dict[str, tuple[nn.Module, tuple[torch.Tensor, ...]]] = {
    "softmax": (Calls(lambda x: torch.softmax(x, -1)), (X,)),
    "softmax along another axis": (Calls(lambda x: F.softmax(x, 1)), (X,)),
    "log softmax": (Calls(lambda x: F.log_softmax(x, -1)), (X,)),
    "layer norm": (perturbed(nn.LayerNorm(8)), (X,)),
    "layer norm without weights": (nn.LayerNorm(8, elementwise_affine=False), (X,)),
    "layer norm without bias": (perturbed(nn.LayerNorm(8, bias=False)), (X,)),
    "layer norm along several axes": (perturbed(nn.LayerNorm([6, 8])), (X,)),
    "rms norm": (perturbed(nn.RMSNorm(8)), (X,)),
    "rms norm along several axes": (perturbed(nn.RMSNorm([6, 8])), (X,)),
    "group norm": (perturbed(nn.GroupNorm(2, 6)), (drawn(2, 6, 3, 4),)),
    "instance norm": (perturbed(nn.InstanceNorm2d(3, affine=True)), (drawn(2, 3, 4, 4),)),
    "attention": (Calls(F.scaled_dot_product_attention), (X, drawn(2, 5, 8, seed=1), drawn(2, 5, 3, seed=2))),
    "heads": (Calls(F.scaled_dot_product_attention), tuple(drawn(2, 2, 4, 6, seed=i) for i in range(3))),
    "causal attention": (Calls(lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True)), (X,)),
    "masked attention": (Calls(lambda q: F.scaled_dot_product_attention(q, q, q, attn_mask=MASK, scale=0.3)), (X,)),
    "shared heads": (
        Calls(lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True)),
        (drawn(2, 4, 3, 6), drawn(2, 2, 5, 6, seed=1)),
    ),
    "log of a sum of exponentials": (Calls(lambda x: x.logsumexp(1)), (X,)),
    "standard deviation": (Calls(lambda x: x.std(-1) + x.var(1, correction=0).sqrt().sum(-1, keepdim=True)), (X,)),
    "length": (Calls(lambda x: F.normalize(x, dim=-1) + x.norm(p=1, dim=1, keepdim=True)), (X,)),
    "quotient": (Calls(lambda x, y: x / (y * y + 0.5)), (X, drawn(2, 6, 8, seed=3))),
    "reciprocal": (Calls(lambda x: 2.0 / (1 + x * x)), (X,)),
    "log sigmoid": (Calls(F.logsigmoid), (X,)),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_graph_means_what_torch_means(name: str) -> None:
    model, xs = MODELS[name]
    graph = load_model(model, xs)
    (got,) = run_clear(graph, *(x.numpy() for x in xs))
    np.testing.assert_allclose(got, model(*xs).detach().numpy(), atol=2e-5)


@pytest.mark.parametrize("name", MODELS)
def test_in_secret(name: str) -> None:
    model, xs = MODELS[name]
    plan = tacit.compile(model, xs if len(xs) > 1 else xs[0], policy=tacit.Policy(input_bits=16))
    got = tacit.simulate(plan, *(x.numpy() for x in xs)).outputs
    assert nrmse(got, [model(*xs).detach().numpy()]) < 3e-3


class Block(nn.Module):
    """A transformer encoder layer, norms first, and a head."""

    def __init__(self, width: int, heads: int, classes: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.mix = nn.ModuleList([nn.Linear(width, width) for _ in range(4)])
        self.wide, self.narrow, self.head = (
            nn.Linear(width, 2 * width),
            nn.Linear(2 * width, width),
            nn.Linear(width, classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        y = self.norms[0](x)
        q, k, v = (m(y).view(batch, length, self.heads, -1).transpose(1, 2) for m in self.mix[:3])
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, width)
        x = x + self.mix[3](mixed)
        x = x + self.narrow(F.gelu(self.wide(self.norms[1](x))))
        out: torch.Tensor = self.head(x.mean(1))
        return out


@pytest.mark.parametrize("bits", [0, 16])
def test_a_transformer_block(bits: int) -> None:
    """As the planner has it by default, and finer: close to torch, and every label right."""
    model = perturbed(Block(16, 2, 5))
    x = drawn(4, 7, 16, seed=4)
    plan = tacit.compile(
        model, x, policy=tacit.Policy(input_bits=bits), calibration=[drawn(4, 7, 16, seed=i) for i in range(6)]
    )
    got, want = tacit.simulate(plan, x.numpy()).outputs[0], model(x).detach().numpy()
    assert nrmse([got], [want]) < 2e-2
    assert np.array_equal(got.argmax(-1), want.argmax(-1))


def test_domains_come_from_calibration_and_its_margin() -> None:
    s = Sketch(1)
    graph = s.graph(s.op("smooth", s.input(1, 3), attrs={"function": "log"}))
    batches = [np.array([[3.0, 0.9, 5.0]]), np.array([[0.7, 1.0, 2.0]])]
    assert with_domains(graph, batches, 4.0).nodes[-1].attrs["low"] == "1/8"
    assert with_domains(graph, [batch * 64 for batch in batches], 2.0).nodes[-1].attrs["low"] == "16"
    t = Sketch(1)
    stated = t.graph(t.op("smooth", t.input(1, 3), attrs={"function": "log", "low": "1/3"}))
    assert with_domains(stated, batches, 4.0) == stated


def test_a_pole_within_the_range_is_refused() -> None:
    with pytest.raises(Refused, match="values above some positive number"):
        tacit.compile(Calls(lambda x: 1.0 / x), X, policy=tacit.Policy(input_bits=16))


@pytest.mark.parametrize("name", ["layer norm", "softmax"])
def test_proven_ranges_know_no_lowest_argument(name: str) -> None:
    model, xs = MODELS[name]
    if name == "softmax":
        tacit.compile(model, xs[0], policy=tacit.Policy(input_bits=16, ranges="proven"))
        return
    with pytest.raises(InvalidInput, match="no lowest argument"):
        tacit.compile(model, xs[0], policy=tacit.Policy(input_bits=16, ranges="proven"))


@pytest.mark.parametrize(
    ("model", "xs", "what"),
    [
        (Calls(lambda q: F.scaled_dot_product_attention(q, q, q, dropout_p=0.5)), (X,), "dropout"),
        (Calls(lambda q, m: F.scaled_dot_product_attention(q, q, q, attn_mask=m)), (X, drawn(2, 6, 6)), "mask"),
        (Calls(lambda x: F.elu(x, alpha=0.0)), (X,), "alpha"),
    ],
)
def test_what_is_not_taken(model: nn.Module, xs: tuple[torch.Tensor, ...], what: str) -> None:
    with pytest.raises(Refused, match=what):
        load_model(model, xs)


@pytest.mark.parametrize(
    "call",
    [
        *[F.gelu, F.silu, F.hardswish, F.mish, F.softplus, F.elu, F.selu, torch.sigmoid, torch.tanh, torch.erf],
        *[torch.exp, torch.expm1, F.celu, F.glu, F.softsign, F.tanhshrink],
        *[lambda x: F.elu(x, 0.5), lambda x: F.celu(x, 0.75), lambda x: F.softplus(x, beta=2)],
        *[lambda x: torch.log1p(x * x), lambda x: torch.log2(x * x + 1), lambda x: torch.log10(x * x + 1)],
        *[lambda x: (x * x + 1) ** 0.5, lambda x: (x * x + 1) ** -0.5, lambda x: (x * x + 1) ** -1],
    ],
)
def test_smooth_functions(call: Any) -> None:
    model = Calls(call)
    (got,) = run_clear(load_model(model, X), X.numpy())
    np.testing.assert_allclose(got, call(X).numpy(), atol=2e-6)


def test_gelu_by_tanh_and_functions_of_positive_numbers() -> None:
    def call(x: torch.Tensor) -> torch.Tensor:
        y = F.gelu(x, approximate="tanh") + 2
        return torch.log(y) + torch.sqrt(y) + torch.rsqrt(y) + torch.reciprocal(y)

    (got,) = run_clear(load_model(Calls(call), X), X.numpy())
    np.testing.assert_allclose(got, call(X).numpy(), atol=2e-6)


ONNX: dict[str, Any] = {
    "softmax": lambda: node("Softmax", "x", axis=1),
    "log softmax": lambda: node("LogSoftmax", "x"),
    "layer norm": lambda: node("LayerNormalization", "x,g,b", epsilon=1e-3),
    "instance norm": lambda: node("InstanceNormalization", "x,h,h"),
    "gelu": lambda: node("Gelu", "x", approximate="tanh"),
    "elu": lambda: node("Elu", "x", alpha=0.5),
    "celu": lambda: node("Celu", "x", alpha=1.25),
    "selu": lambda: node("Selu", "x"),
    "selu of other slopes": lambda: node("Selu", "x", alpha=1.5, gamma=0.5),
    "softsign": lambda: node("Softsign", "x"),
    "layer norm along several axes": lambda: node("LayerNormalization", "x,gg", axis=1),
    "group norm": lambda: node("GroupNormalization", "x,h,h", num_groups=3),
    "rms norm": lambda: node("RMSNormalization", "x,g", axis=-1),
    "rms norm along several axes": lambda: node("RMSNormalization", "x,gg", axis=1, epsilon=1e-3),
    **{
        name: (lambda name=name: node(name, "x"))
        for name in ["Sigmoid", "Tanh", "Softplus", "HardSwish", "Erf", "Exp", "Mish"]
    },
}


def node(op: str, inputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(","), ["y"], **attributes)


@pytest.mark.parametrize("name", ONNX)
def test_onnx(name: str) -> None:
    weights = {"g": drawn(8, seed=1), "b": drawn(8, seed=2), "h": drawn(6, seed=3), "gg": drawn(6, 8, seed=4)}
    stored = [numpy_helper.from_array(array.numpy(), key) for key, array in weights.items()]
    x, y = (helper.make_tensor_value_info(key, TensorProto.FLOAT, [2, 6, 8]) for key in "xy")
    graph = helper.make_graph([ONNX[name]()], "g", [x], [y], stored)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    (got,) = run_clear(from_onnx(proto, batch=2), X.numpy())
    np.testing.assert_allclose(got, ReferenceEvaluator(proto).run(None, {"x": X.numpy()})[0], rtol=1e-4, atol=1e-5)


def test_native_norms_have_means_and_deviations_too() -> None:
    def call(x: torch.Tensor) -> Any:
        rows = torch.ops.aten.native_layer_norm(x, [6, 8], None, None, 1e-5)
        return *rows, *torch.ops.aten.native_group_norm(x, None, None, 2, 6, 8, 3, 1e-5)

    for got, want in zip(run_clear(load_model(Calls(call), X), X.numpy()), call(X), strict=True):
        np.testing.assert_allclose(got.reshape(want.shape), want.numpy(), atol=2e-5)


def test_what_a_mask_hides_stays_hidden_however_large_it_is() -> None:
    """Scores of hundreds, as trained nets have them: a fixed number below zero would not hide them."""
    q = drawn(1, 6, 8) * 12
    model = Calls(lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True))
    (got,) = run_clear(load_model(model, q), q.numpy())
    np.testing.assert_allclose(got, model(q).numpy(), atol=2e-5)
