"""Look-ups by an index that is an input of the model: the client's one-hot rows times the table."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from tacit.errors import InvalidInput, Refused
from tacit.front.clear import run_clear
from tacit.front.compile import compile_model
from tacit.front.onnx import from_onnx
from tacit.front.torch import from_torch
from tacit.ir.onehot import from_indices
from tacit.plan.policy import Policy
from tacit.run.simulate import simulate

IDS = torch.tensor([[3, 0, 8, 1, 1], [5, 2, 2, 7, 4]])


class Text(nn.Module):
    """Tokens and positions, and a table of another size for the first token alone."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places, self.first = nn.Embedding(9, 4, padding_idx=0), nn.Embedding(5, 4), nn.Embedding(7, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids.view(-1, 5)) + self.places(torch.arange(5)) + self.first(ids[:, :1])
        return self.head(x.mean(1))


class Bags(nn.Module):
    """The shape of a recommendation model: numbers, and a sum of looked-up rows for each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.sums, self.means = nn.EmbeddingBag(9, 3, mode="sum"), nn.EmbeddingBag(9, 3, mode="mean")

    def forward(self, numbers: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return torch.cat([numbers, self.sums(ids), self.means(ids[:, 1:])], 1)


def expected(model: nn.Module, *inputs: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(model.eval()(*inputs).numpy())


def test_tables_are_products_with_rows_of_zeros_and_a_one() -> None:
    model = Text()
    graph = from_torch(model, IDS.clamp(max=6))
    assert graph.inputs[0].shape == (2, 5, 9)
    ids = IDS.clamp(max=6)
    np.testing.assert_allclose(run_clear(graph, ids.numpy())[0], expected(model, ids), atol=1e-6)
    rows = np.eye(9)[ids.numpy()]
    np.testing.assert_allclose(run_clear(graph, rows)[0], expected(model, ids), atol=1e-6)


def test_onnx() -> None:
    model, file = Text().eval(), io.BytesIO()
    ids = IDS.clamp(max=6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (ids,), file, opset_version=17, dynamo=False)
    graph = from_onnx(onnx.load_from_string(file.getvalue()), batch=2)
    assert graph.inputs[0].shape == (2, 5, 9)
    np.testing.assert_allclose(run_clear(graph, ids.numpy())[0], expected(model, ids), atol=1e-6)


def test_bags() -> None:
    model, numbers = Bags(), torch.tensor([[0.5], [-1.0]])
    graph = from_torch(model, (numbers, IDS))
    np.testing.assert_allclose(run_clear(graph, numbers, IDS.numpy())[0], expected(model, numbers, IDS), atol=1e-6)


def test_in_secret() -> None:
    model = Text()
    plan = compile_model(model, IDS.clamp(max=6), policy=Policy(input_bits=14))
    got = simulate(plan, IDS.clamp(max=6).numpy()).outputs[0]
    assert np.abs(got - expected(model, IDS.clamp(max=6))).max() < 2e-3


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda s, ids: s.e(ids * 2), "arithmetic with an index"),
        (lambda s, ids: s.e(ids) * ids[..., None], "arithmetic with an index"),
        (lambda s, ids: s.e(ids) * (ids != 0)[..., None], "equality"),
        (lambda s, ids: s.huge(ids), "a private index is refused"),
    ],
)
def test_refusals(function: Any, message: str) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.e, self.huge = nn.Embedding(9, 4), nn.Embedding(70_000, 2)

        def forward(self, ids: torch.Tensor) -> Any:
            return function(self, ids)

    with pytest.raises(Refused, match=message):
        from_torch(Model(), IDS)


def test_indices_are_checked() -> None:
    with pytest.raises(InvalidInput, match="knows 0 to 8"):
        from_indices(np.array([[9]]), (1, 1, 9))
    with pytest.raises(InvalidInput, match="knows 0 to 8"):
        from_indices(np.array([[-1]]), (1, 1, 9))


def test_what_is_no_index_stays_as_it_is() -> None:
    for x, shape in [(np.ones((2, 3)), (2, 3)), (np.ones((2, 3)), (2, 3, 9)), (np.ones((2, 3), int), (2, 4, 9))]:
        assert from_indices(x, shape) is x
