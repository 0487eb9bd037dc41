"""linear: x W^T + b on the last axis; every other axis is batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, weight_shape
from tacit.ir.contract import contracted, matrix_letters
from tacit.ir.graph import Attr, Node
from tacit.ir.layers import from_onnx_layer, from_torch_cell, from_torch_layers
from tacit.ir.source import Constant, Step, Unsupported, Value, matrix_product, needs_constant, offset_by
from tacit.secure import basis
from tacit.secure.placer import Placer
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "place", "shape"]


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """[..., I] to [..., O] for weight [O, I] and bias [O]. Raises InvalidInput."""
    rows, columns = weight_shape(weights, "weight", 2)
    if len(x) < 2 or x[-1] != columns:
        raise InvalidInput(f"linear with {columns} inputs cannot act on an array of shape {x}")
    if "bias" in weights and weight_shape(weights, "bias", 1) != (rows,):
        raise InvalidInput(f"the bias of a linear layer with {rows} outputs has shape {weights['bias']}")
    return (*x[:-1], rows)


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """x @ weight.T + bias."""
    y = x @ weights["weight"].T
    return y + weights["bias"] if "bias" in weights else y


def lower(s: Session, x: Share) -> Share:
    """The server's product with its weights."""
    return basis.product(s, x)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """One product with the server's weights."""
    return p.linear(node, sites[0])


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The largest row sum of magnitudes times the input's bound, and the largest bias."""
    weight = np.abs(weights["weight"])
    rows = weight.reshape(len(weight), -1).sum(1)
    bias = np.abs(weights["bias"]) if "bias" in weights else np.zeros(len(rows))
    return float((rows * x + bias).max(initial=0.0))


def _linear(x: Value | Constant, weight: Constant | Value, bias: Constant | Value | None = None) -> Step:
    if not isinstance(x, Value) or not isinstance(weight, Constant) or isinstance(bias, Value):
        raise Unsupported(
            "not yet",
            "a linear layer whose weights or bias are not constant",
            "Write products of two activations as matmul, with constant weights on the right where there are any.",
        )
    if len(x.shape) < 2 or weight.array.ndim != 2:
        raise Unsupported(
            "not yet",
            f"a matrix product of shapes {x.shape} and {weight.array.shape}",
            "Give the activation a batch axis and the weight two axes.",
        )
    weights = {"weight": weight}
    rows = weight.array.shape[0]
    if bias is None:
        return Step("linear", (x,), {}, weights)
    if bias.array.size in (1, rows) and bias.array.shape[-1:] in ((), (1,), (rows,)):
        flat = bias if bias.array.shape == (rows,) else Constant(np.broadcast_to(bias.array.reshape(-1), (rows,)))
        return Step("linear", (x,), {}, {**weights, "bias": flat})
    return offset_by(Step("linear", (x,), {}, weights), (*x.shape[:-1], rows), bias)


def _transposed(weight: Constant | Value) -> Constant | Value:
    if isinstance(weight, Value) or weight.array.ndim != 2:
        return weight
    return Constant(weight.array.T, f"{weight.name}.T" if weight.name else "", weight.trained)


def _scaled(x: Constant | Value | None, factor: float) -> Constant | Value | None:
    return Constant(x.array.astype(np.float64) * factor) if isinstance(x, Constant) and factor != 1 else x


def _matmul(x: Value | Constant, weight: Value | Constant) -> Value | Step:
    """The product of matrices or vectors, whichever of them are constant."""
    if isinstance(x, Value) and isinstance(weight, Value) and min(len(x.shape), len(weight.shape)) >= 2:
        return matrix_product(x, weight)
    if isinstance(x, Value) and isinstance(weight, Constant) and len(x.shape) >= 2 and weight.array.ndim == 2:
        return _linear(x, _transposed(weight))
    if isinstance(x, Constant) and isinstance(weight, Value) and x.array.ndim == 2 and len(weight.shape) >= 2:
        return _before(x, weight)
    return contracted(x, weight, *matrix_letters(x, weight))


def _before(weight: Constant, x: Value) -> Step:
    """weight @ x: the linear layer along the last axis but one."""
    last = len(x.shape) - 1
    order: list[Attr] = [*range(last - 1), last, last - 1]
    turned = Step("permute", (x,), {"order": order})
    return Step("permute", (Step("linear", (turned,), {}, {"weight": weight}),), {"order": order})


def _addmm(
    bias: Constant | Value, x: Value | Constant, weight: Constant | Value, beta: float = 1, alpha: float = 1
) -> Step:
    return _gemm(x, weight, bias, alpha=alpha, beta=beta)


def _gemm(
    a: Value | Constant,
    b: Constant | Value,
    c: Constant | Value | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Step:
    if transA:
        raise Unsupported(
            "not yet", "Gemm with its activation transposed", "Transpose the activation with its own node."
        )
    right: Any = _scaled(b if transB else _transposed(b), alpha)
    return _linear(a, right, _scaled(c, beta))


def _layers(kind: str) -> Callable[..., tuple[Value | Step, ...]]:
    def adapter(
        x: Any,
        hx: Any,
        params: Any,
        has_biases: bool,
        layers: int,
        dropout: float,
        train: bool,
        both: bool,
        first: bool,
    ) -> tuple[Value | Step, ...]:
        return from_torch_layers(kind, x, hx, params, has_biases, layers, train, both, first)

    return adapter


def _cell(kind: str) -> Callable[..., Any]:
    def adapter(x: Any, hx: Any, inner: Any, outer: Any, inner_bias: Any = None, outer_bias: Any = None) -> Any:
        made = from_torch_cell(kind, x, hx, (inner, outer, inner_bias, outer_bias))
        return made if kind == "lstm" else made[0]

    return adapter


_ACTIVATIONS = {"lstm": ["sigmoid", "tanh", "tanh"], "gru": ["sigmoid", "tanh"], "rnn": ["tanh"]}


def _onnx_layer(kind: str) -> Callable[..., tuple[Value | Step, ...]]:
    def adapter(
        x: Any, inner: Any, outer: Any, bias: Any = None, lengths: Any = None, h: Any = None, c: Any = None,
        p: Any = None, *, hidden_size: int = 0, direction: str = "forward", layout: int = 0,
        linear_before_reset: int = 0, activations: Any = None, clip: Any = None, input_forget: int = 0,
    ) -> tuple[Value | Step, ...]:  # fmt: skip
        given = [name.decode() if isinstance(name, bytes) else name for name in activations or ()]
        usual, names = _ACTIVATIONS[kind], [name.lower() for name in given[: len(_ACTIVATIONS[kind])]]
        relu = kind == "rnn" and names == ["relu"]
        if (names and names != usual and not relu) or clip or input_forget or p is not None:
            raise Unsupported("not yet", "a recurrent layer with other activations", "Use the usual ones.")
        if lengths is not None and np.any(needs_constant(lengths).array != getattr(x, "shape", (0,))[0]):
            raise Unsupported("not yet", "sequences of different lengths", "Give all the full length.")
        named = ("rnn_relu" if relu else "rnn_tanh") if kind == "rnn" else kind
        states = (h, c) if kind == "lstm" else (h,)
        return from_onnx_layer(named, x, (inner, outer, bias), states, direction, layout, not linear_before_reset)

    return adapter


aten = {
    "aten.linear.default": _linear,
    "aten.matmul.default": _matmul,
    "aten.mm.default": _matmul,
    "aten.mv.default": _matmul,
    "aten.dot.default": _matmul,
    "aten.addmm.default": _addmm,
    **{f"aten.{kind}.input": _layers(kind) for kind in ("lstm", "gru", "rnn_tanh", "rnn_relu")},
    **{f"aten.{kind}_cell.default": _cell(kind) for kind in ("lstm", "gru")},
    "aten.rnn_tanh_cell.default": _cell("rnn_tanh"),
    "aten.rnn_relu_cell.default": _cell("rnn_relu"),
}
onnx = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    **{kind.upper(): _onnx_layer(kind) for kind in ("lstm", "gru", "rnn")},
}
