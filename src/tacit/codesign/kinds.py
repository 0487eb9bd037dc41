"""Which PyTorch modules and calls are activations and max-pools, and what module each call is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional

from tacit.codesign.activations.curves import Curve, Reals
from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.activations.stochastic import StochasticReLU

__all__ = ["BOUNDED", "MAXPOOL", "call_of", "curve_of", "is_inplace", "kind_of", "kind_of_call"]

MAXPOOL = "maxpool"
#: Kinds whose values are bounded: gates and outputs more often than activations.
BOUNDED = frozenset({"sigmoid", "tanh", "hardsigmoid", "hardtanh"})

_MODULES: dict[type, str] = {
    StochasticReLU: "relu",
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.LeakyReLU: "leaky_relu",
    nn.PReLU: "prelu",
    nn.RReLU: "rrelu",
    nn.ELU: "elu",
    nn.CELU: "celu",
    nn.SELU: "selu",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.Mish: "mish",
    nn.Hardswish: "hardswish",
    nn.Softplus: "softplus",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Hardtanh: "hardtanh",
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), MAXPOOL),
    **dict.fromkeys((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d), MAXPOOL),
}

_INPLACE = ("inplace",)
_WINDOW = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_SIZE = ("output_size", "return_indices")
#: Functions: the module that does the same, and the names of the arguments after the input.
_CALLS: dict[Any, tuple[type[nn.Module], tuple[str, ...]]] = {
    **dict.fromkeys((functional.relu, torch.relu, torch.relu_), (nn.ReLU, _INPLACE)),
    functional.relu6: (nn.ReLU6, _INPLACE),
    **dict.fromkeys((functional.leaky_relu, functional.leaky_relu_), (nn.LeakyReLU, ("negative_slope", "inplace"))),
    **dict.fromkeys((functional.elu, functional.elu_), (nn.ELU, ("alpha", "inplace"))),
    **dict.fromkeys((functional.celu, torch.celu), (nn.CELU, ("alpha", "inplace"))),
    **dict.fromkeys((functional.selu, torch.selu), (nn.SELU, _INPLACE)),
    functional.gelu: (nn.GELU, ("approximate",)),
    functional.silu: (nn.SiLU, _INPLACE),
    functional.mish: (nn.Mish, _INPLACE),
    functional.hardswish: (nn.Hardswish, _INPLACE),
    functional.softplus: (nn.Softplus, ("beta", "threshold")),
    **dict.fromkeys((functional.sigmoid, torch.sigmoid), (nn.Sigmoid, ())),
    **dict.fromkeys((functional.tanh, torch.tanh), (nn.Tanh, ())),
    functional.hardsigmoid: (nn.Hardsigmoid, _INPLACE),
    functional.hardtanh: (nn.Hardtanh, ("min_val", "max_val", "inplace")),
    **dict.fromkeys((functional.max_pool1d, torch.max_pool1d), (nn.MaxPool1d, _WINDOW)),
    **dict.fromkeys((functional.max_pool2d, torch.max_pool2d), (nn.MaxPool2d, _WINDOW)),
    **dict.fromkeys((functional.max_pool3d, torch.max_pool3d), (nn.MaxPool3d, _WINDOW)),
    functional.adaptive_max_pool1d: (nn.AdaptiveMaxPool1d, _SIZE),
    functional.adaptive_max_pool2d: (nn.AdaptiveMaxPool2d, _SIZE),
    functional.adaptive_max_pool3d: (nn.AdaptiveMaxPool3d, _SIZE),
}
_METHODS = {name: getattr(torch.Tensor, name) for name in ("relu", "relu_", "sigmoid", "sigmoid_", "tanh", "tanh_")}
_KINDS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
_CALLS |= {method: (_KINDS[name.rstrip("_")], ()) for name, method in _METHODS.items()}


def kind_of(module: nn.Module) -> str | None:
    """The kind of a module that is an activation or a max-pool; None for others, polynomials among them."""
    return next((_MODULES[cls] for cls in type(module).__mro__ if cls in _MODULES), None)


def kind_of_call(function: Callable[..., Any]) -> str | None:
    """The kind of a function of torch that is an activation or a max-pool; None for others."""
    try:
        known = _CALLS.get(function)
    except TypeError:  # not hashable
        return None
    return _MODULES[known[0]] if known else None


def call_of(node: fx.Node) -> nn.Module | None:
    """The module that does what a traced call does; None where that is no activation, or its arguments are computed."""
    target = _METHODS.get(str(node.target)) if node.op == "call_method" else node.target
    known = _CALLS.get(target) if node.op in ("call_function", "call_method") else None
    if known is None:
        return None
    arguments = _arguments(known[1], node.args[1:] if node.args else (), node.kwargs)
    if arguments is None:
        return None
    return known[0](**arguments)


def _arguments(names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    """The constructor's arguments; without `inplace`. None where one is computed or not known."""
    given = {**dict(zip(names, args, strict=False)), **{k: v for k, v in kwargs.items() if k != "input"}}
    if len(args) > len(names) or not set(given) <= set(names):
        return None
    computed: list[fx.Node] = []
    fx.map_arg(list(given.values()), computed.append)
    return None if computed else {k: v for k, v in given.items() if k != "inplace"}


def is_inplace(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether a traced call overwrites its input."""
    if module is not None:
        return bool(getattr(module, "inplace", False))
    named = str(getattr(node.target, "__name__", node.target)).endswith("_")
    return named or node.kwargs.get("inplace") is True


def curve_of(module: nn.Module) -> Curve | None:
    """What an activation without weights computes, as a function of float64 arrays; None for one that has weights."""
    if isinstance(module, PolyAct) or any(True for _ in module.parameters()) or kind_of(module) in (None, MAXPOOL):
        return None
    exact = nn.ReLU() if isinstance(module, StochasticReLU) else copy.deepcopy(module).eval()

    def curve(x: Reals) -> Reals:
        with torch.no_grad():
            return np.asarray(exact(torch.from_numpy(x.copy())).numpy(), np.float64)

    return curve
