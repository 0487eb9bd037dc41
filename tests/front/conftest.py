"""Parity of imports: one function of tensors, traced by torch.export and exported to ONNX, against torch itself."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from tacit.front.clear import run_clear
from tacit.front.onnx import from_onnx
from tacit.front.torch import from_torch
from tacit.ir import Graph


class Fn(torch.nn.Module):
    """A module of one function of itself and its inputs, with `parts` as submodules, parameters or buffers."""

    def __init__(self, function: Any, **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            if isinstance(part, torch.Tensor) and not isinstance(part, torch.nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(self, *inputs)


def _flat(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [part for item in value for part in _flat(item)]


def _compare(graph: Graph, inputs: list[np.ndarray], expected: list[torch.Tensor], atol: float, what: str) -> None:
    values = run_clear(graph, *inputs)
    assert len(values) == len(expected), what
    for value, want in zip(values, expected, strict=True):
        assert value.shape == tuple(want.shape), what
        np.testing.assert_allclose(value, want.double().numpy(), atol=atol, err_msg=what)


@pytest.fixture(scope="session")
def parity() -> Callable[..., Graph]:
    """check(function, *inputs, opsets=(), atol=1e-5, **parts): the Graph that torch.export gives, after it and that
    of each ONNX opset were compared with torch in double precision.
    """

    def check(function: Any, *inputs: torch.Tensor, opsets: Any = (), atol: float = 1e-5, **parts: Any) -> Graph:
        model = Fn(function, **parts).eval()
        graph = from_torch(model, inputs)
        arrays = [x.numpy() for x in inputs]
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.double()
            wide = [x.double() if x.is_floating_point() else x for x in inputs]
            expected = _flat(model(*wide))
            _compare(graph, arrays, expected, atol, "torch.export")
            model.float()
            for opset in opsets:
                file = io.BytesIO()
                torch.onnx.export(model, inputs, file, opset_version=opset, dynamo=False)
                read = from_onnx(onnx.load_from_string(file.getvalue()), batch=len(inputs[0]))
                _compare(read, arrays, expected, atol, f"ONNX {opset}")
        return graph

    return check
