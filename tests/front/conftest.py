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
from tacit.front.compile import compile_model
from tacit.front.onnx import from_onnx
from tacit.front.torch import from_exported, from_torch
from tacit.ir import Graph
from tacit.plan.policy import Policy
from tacit.run.simulate import simulate
from tacit.testing.graphs import nrmse


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


def _made(build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """A net of made weights whose norms have learnt something."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = build().eval().requires_grad_(False)
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 1.5)
            elif isinstance(module, torch.nn.LayerNorm | torch.nn.GroupNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
    return model


@pytest.fixture(scope="session")
def imported() -> Callable[..., None]:
    """check(build, *inputs): the net by torch.export computes what torch does."""

    def check(build: Any, *inputs: torch.Tensor) -> None:
        model = _made(build)
        _compare(from_torch(model, inputs), [x.numpy() for x in inputs], _flat(model(*inputs)), 3e-5, "torch.export")

    return check


@pytest.fixture(scope="session")
def everywhere() -> Callable[..., None]:
    """check(build, *inputs): the net by torch.export's core operations and by ONNX computes what torch does, and it
    runs privately, near that, with ranges calibrated on the inputs.
    """

    def check(build: Any, *inputs: torch.Tensor) -> None:
        model, arrays = _made(build), [x.numpy() for x in inputs]
        fast = torch.backends.mha.get_fastpath_enabled()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            core = from_exported(torch.export.export(model, inputs).run_decompositions())
            file = io.BytesIO()
            torch.backends.mha.set_fastpath_enabled(False)  # an operation of torch's own that its exporter lacks
            try:
                torch.onnx.export(model, inputs, file, opset_version=17, dynamo=False)
            finally:
                torch.backends.mha.set_fastpath_enabled(fast)
        read = from_onnx(onnx.load_from_string(file.getvalue()), batch=1)
        expected = _flat(model(*inputs))
        for way, made in (("core operations", core), ("ONNX", read)):
            _compare(made, arrays, expected, 3e-5, way)
        got = simulate(compile_model(read, tuple(arrays), policy=Policy(input_bits=16)), *arrays).outputs
        assert nrmse(got, [value.numpy() for value in expected]) < 1e-2

    return check
