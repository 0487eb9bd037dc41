"""The Graph of a cell's net, written for private inference: between two ReLUs there is one linear layer.

What lies between ReLUs is linear, whatever the cell's skips, merges, reductions and separable convolutions are. Run one
after the other, each would need wider numbers, or a truncation that costs two messages; here they are composed into one
convolution for each array that a layer reads. Arrays that later layers skip from are truncated where their own ReLU
opens them, which costs no opening and no round. The result is the same function (tests compare).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tacit.codesign.cryptonas.layers import Reduction
from tacit.codesign.cryptonas.net import CellNet
from tacit.ir.attrs import Attrs
from tacit.ir.graph import Graph, Node

__all__ = ["as_graph"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Term:
    """What one node contributes: y[o, p] = sum over i, a of weight[o, i, a] · node[i, stride·p - padding + a]."""

    node: str
    weight: Array
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True)
class _Form:
    """An array that is not computed yet: a sum of convolutions of nodes, and a constant a channel."""

    terms: tuple[_Term, ...]
    bias: Array

    @classmethod
    def of(cls, node: str, channels: int) -> _Form:
        """The node itself."""
        return cls((_Term(node, np.eye(channels)[:, :, None, None]),), np.zeros(channels))

    def mixed(self, matrix: Array) -> _Form:
        """Under a 1x1 convolution [outputs, channels]."""
        terms = (replace(t, weight=np.tensordot(matrix, t.weight, 1)) for t in self.terms)
        return _Form(tuple(terms), matrix @ self.bias)

    def normed(self, norm: Any) -> _Form:
        """Under a batch norm that uses its running statistics."""
        gain = _array(norm.weight) / np.sqrt(_array(norm.running_var) + norm.eps)
        terms = (replace(t, weight=t.weight * gain[:, None, None, None]) for t in self.terms)
        return _Form(tuple(terms), (self.bias - _array(norm.running_mean)) * gain + _array(norm.bias))

    def halved(self, reduction: Reduction) -> _Form:
        """Under a factorised reduction: half of the channels read the window one place further right and down."""
        even = self.mixed(_matrix(reduction.even))
        if reduction.odd is None:
            return _Form(tuple(map(_strided, even.terms)), even.bias).normed(reduction.norm)
        odd = self.mixed(_matrix(reduction.odd))
        terms = tuple(_interleaved(a, b) for a, b in zip(even.terms, odd.terms, strict=True))
        return _Form(terms, np.concatenate([even.bias, odd.bias])).normed(reduction.norm)

    def plus(self, other: _Form) -> _Form:
        """The sum of both."""
        return _Form((*self.terms, *other.terms), self.bias + other.bias)


def _strided(term: _Term) -> _Term:
    """The term at every other place, its window widened as `_interleaved` does, so that sizes come out right."""
    wider = ((0, 0), (0, 0), (0, term.stride), (0, term.stride))
    return replace(term, weight=np.pad(term.weight, wider), stride=2 * term.stride)


def _interleaved(even: _Term, odd: _Term) -> _Term:
    """The terms of both halves at every other place, in one window."""
    shift = even.stride
    first = np.pad(even.weight, ((0, 0), (0, 0), (0, shift), (0, shift)))
    second = np.pad(odd.weight, ((0, 0), (0, 0), (shift, 0), (shift, 0)))
    return replace(even, weight=np.concatenate([first, second]), stride=2 * shift)


def _array(tensor: Any) -> Array:
    return np.asarray(tensor.detach().cpu().double().numpy())


def _matrix(conv: nn.Conv2d) -> Array:
    """The weights of a 1x1 convolution, whatever its stride, [outputs, inputs]."""
    return _array(conv.weight)[:, :, 0, 0]


def as_graph(net: CellNet) -> Graph:
    """The Graph of `net` in evaluation mode for one image [1, channels, size, size], with logits [1, classes]."""
    return _Writer(net).graph()


class _Writer:
    """The nodes and weights written so far, and what each source is."""

    def __init__(self, net: CellNet) -> None:
        self._net, self._space, self._cell = net, net.space, net.cell
        self._nodes: list[Node] = []
        self._weights: dict[str, Array] = {}

    def graph(self) -> Graph:
        space, cell, net = self._space, self._cell, self._net
        image = self._node("x", "input", (), (space.channels, space.size, space.size))
        skipped = {source for skips in cell.skips for source in skips}
        forms = {0: _convolved(image, net.stem.conv).normed(net.stem.norm)}
        for layer, skips in enumerate(cell.skips):
            opened = self._summed(f"layer{layer}", forms[layer], space.shape(layer))
            relu = self._node(f"layer{layer}.relu", "relu", (opened,), space.shape(layer))
            if layer in skipped:  # after the ReLU, so that its mask goes out with that of the ReLU's result
                kept = self._node(f"layer{layer}.kept", "poly", (opened,), space.shape(layer), {"coeffs": ["0", "1"]})
                forms[layer] = _Form.of(kept, space.shape(layer)[0])
            forms[layer + 1] = self._merged(layer, skips, forms, self._operation(layer, relu))
            if layer in space.reductions:
                read = cell.read_after(layer)
                forms = {source: forms[source].halved(net.reductions[f"{layer}_{source}"]) for source in read}
        classified = forms[space.layers].mixed(_array(net.classifier.weight))
        classified = replace(classified, bias=classified.bias + _array(net.classifier.bias))
        side = space.shape(space.layers - 1)[1]
        spread = self._summed("classifier", classified, (space.classes, side, side))
        logits = self._node("logits", "mean", (spread,), (space.classes,), {"axes": [2, 3], "keepdims": False})
        weights = {key: array.astype(np.float32) for key, array in self._weights.items()}
        return Graph(tuple(self._nodes), (logits,), weights)

    def _operation(self, layer: int, relu: str) -> _Form:
        """The layer's operation on its ReLU, with its batch norm."""
        name, parts = self._cell.operations[layer], self._net.layers[layer]
        channels, side, _ = shape = self._space.shape(layer)
        if name == "avg":
            window: Attrs = {"kernel": [3, 3], "stride": [1, 1], "padding": [1, 1], "divisor": 9}
            form = _Form.of(self._node(f"layer{layer}.pool", "sumpool", (relu,), shape, window), channels)
        elif name == "max":
            window = {"kernel": 3, "stride": 1, "padding": 1, "dilation": 1, "windows": side}
            rows = self._node(f"layer{layer}.rows", "max", (relu,), shape, {**window, "axis": 3})
            form = _Form.of(self._node(f"layer{layer}.pool", "max", (rows,), shape, {**window, "axis": 2}), channels)
        elif name.startswith("sep"):
            depth = _array(parts.depth.weight)[None, :, 0]
            weight = _matrix(parts.point)[:, :, None, None] * depth
            form = _Form((_Term(relu, weight, 1, parts.depth.padding[0]),), np.zeros(channels))
        else:
            form = _convolved(relu, parts.conv)
        return form.normed(parts.norm)

    def _merged(self, layer: int, skips: Sequence[int], forms: dict[int, _Form], own: _Form) -> _Form:
        """The layer's result: its operation's, or the merge of that with the sources that it skips from."""
        if not skips:
            return own
        merge, channels = self._net.merges[str(layer)], self._space.shape(layer)[0]
        columns = np.split(_matrix(merge.conv), len(skips) + 1, axis=1)
        form = own.mixed(columns[-1])
        for source, matrix in zip(skips, columns[:-1], strict=True):
            assert matrix.shape == (channels, channels)
            form = form.plus(forms[source].mixed(matrix))
        return form.normed(merge.norm)

    def _summed(self, name: str, form: _Form, shape: Iterable[int]) -> str:
        """Nodes that compute a form: a convolution for each of its terms, and their sum."""
        total = ""
        for number, term in enumerate(form.terms):
            conv = f"{name}.conv{number}"
            self._weights[f"{conv}.weight"] = term.weight
            keys = {"weight": f"{conv}.weight"}
            if not number:
                self._weights[f"{conv}.bias"] = form.bias
                keys["bias"] = f"{conv}.bias"
            strides: Attrs = {
                "stride": [term.stride] * 2,
                "padding": [term.padding] * 2,
                "dilation": [1, 1],
                "groups": 1,
            }
            self._node(conv, "conv", (term.node,), shape, strides, keys)
            total = self._node(f"{name}.sum{number}", "add", (total, conv), shape) if number else conv
        return total

    def _node(
        self,
        name: str,
        op: str,
        inputs: tuple[str, ...],
        shape: Iterable[int],
        attrs: Attrs | None = None,
        weights: dict[str, str] | None = None,
    ) -> str:
        self._nodes.append(Node(name, op, inputs, (1, *shape), attrs or {}, weights or {}, name))
        return name


def _convolved(node: str, conv: nn.Conv2d) -> _Form:
    return _Form((_Term(node, _array(conv.weight), 1, conv.padding[0]),), np.zeros(conv.out_channels))
