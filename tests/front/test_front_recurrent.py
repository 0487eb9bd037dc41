"""Recurrent layers: every kind, several layers, both directions, given and zero first states; weights stored once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tacit.errors import Refused
from tacit.front.compile import compile_model
from tacit.plan.policy import Policy
from tacit.run.simulate import simulate

X = torch.tensor(np.random.default_rng(3).normal(size=(5, 2, 3)).astype(np.float32))
START = torch.tensor(np.random.default_rng(4).normal(size=(2, 2, 4)).astype(np.float32))

LAYERS: list[tuple[str, nn.Module]] = [
    ("lstm", nn.LSTM(3, 4)),
    ("lstm, two layers both ways", nn.LSTM(3, 4, 2, bidirectional=True)),
    ("lstm without biases", nn.LSTM(3, 4, bias=False, batch_first=True)),
    ("gru", nn.GRU(3, 4)),
    ("gru, two layers both ways", nn.GRU(3, 4, 2, bidirectional=True, batch_first=True)),
    ("rnn", nn.RNN(3, 4)),
    ("rnn of relu", nn.RNN(3, 4, nonlinearity="relu", bias=False)),
]


def whole(s: Any, x: torch.Tensor) -> Any:
    out, state = s.layer(x)
    return [out, *(state if isinstance(state, tuple) else [state])]


@pytest.mark.parametrize("layer", [f[1] for f in LAYERS], ids=[f[0] for f in LAYERS])
def test_layers(layer: nn.Module, parity: Any) -> None:
    graph = parity(whole, X, layer=layer)
    assert len(graph.weights) <= 5 * len(list(layer.parameters())), "weights are stored once, not once a step"


@pytest.mark.parametrize("opset", [13, 20])
def test_onnx(opset: int, parity: Any) -> None:
    """All at once, since an export takes its time."""
    layers = nn.ModuleList(layer for _, layer in LAYERS)
    parity(lambda s, x: [layer(x)[0] for layer in s.layers], X, layers=layers, opsets=(opset,))


@pytest.mark.parametrize("layer", [nn.LSTM(3, 4, 2), nn.GRU(3, 4, bidirectional=True), nn.RNN(3, 4, 2)])
def test_a_given_first_state(layer: nn.Module, parity: Any) -> None:
    start = (lambda h: (h, h * 0.5)) if isinstance(layer, nn.LSTM) else (lambda h: h)
    parity(lambda s, x, h: s.layer(x, start(h))[0], X, START, layer=layer)


@pytest.mark.parametrize("cell", [nn.LSTMCell(3, 4), nn.GRUCell(3, 4), nn.RNNCell(3, 4)])
def test_cells(cell: nn.Module, parity: Any) -> None:
    parity(lambda s, x: s.cell(x[0]), X, cell=cell)


def test_products_with_the_input_are_one_layer(parity: Any) -> None:
    graph = parity(lambda s, x: s.layer(x)[0][-1], X, layer=nn.LSTM(3, 4))
    kinds = Counter(node.op for node in graph.nodes)
    assert kinds["linear"] == 1 + 4
    assert kinds["smooth"] == 3 * 5


def test_a_trained_first_state_is_refused(parity: Any) -> None:
    with pytest.raises(Refused, match="first state is trained"):
        parity(lambda s, x: s.layer(x, s.start)[0], X, layer=nn.RNN(3, 4, 2), start=nn.Parameter(START))


def test_a_small_lstm_runs_in_secret() -> None:
    torch.manual_seed(1)

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.layer(x)[0][:, -1])

    model, x = Last().eval(), X.transpose(0, 1)[:1, :3].contiguous()
    plan = compile_model(model, x, policy=Policy(input_bits=14))
    got = simulate(plan, x.numpy()).outputs[0]
    with torch.no_grad():
        want = model(x).numpy()
    assert np.abs(got - want).max() <= 2e-2 * np.abs(want).max()
