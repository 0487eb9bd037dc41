"""Small nets as plain data, so that a fault can be put into one layer: parameters, norms not folded, and a graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tacit import ops
from tacit.ir import Graph, Node

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass
class Layer:
    """One layer: `norm` holds gain, shift, mean, variance and eps of a batch norm that is folded into its weights."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Array] = field(default_factory=dict)
    norm: dict[str, Any] | None = None

    def folded(self) -> dict[str, Array]:
        if self.norm is None:
            return dict(self.weights)
        n = self.norm
        factor = n["gain"] / np.sqrt(n["variance"] + n["eps"])
        weight = self.weights["weight"]
        return {
            "weight": weight * factor.reshape(-1, *[1] * (weight.ndim - 1)),
            "bias": (self.weights["bias"] - n["mean"]) * factor + n["shift"],
        }


@dataclass
class Net:
    """Layers in order; the first is the input."""

    shape: tuple[int, ...]
    layers: list[Layer] = field(default_factory=list)

    def __getitem__(self, name: str) -> Layer:
        return next(layer for layer in self.layers if layer.name == name)

    def of(self, *kinds: str) -> list[Layer]:
        return [layer for layer in self.layers if layer.op in kinds]

    def graph(self) -> Graph:
        """The graph, weights rounded to float32 as importers do."""
        shapes = {"image": self.shape}
        nodes = [Node("image", "input", (), self.shape)]
        weights: dict[str, Any] = {}
        for layer in self.layers:
            own = {slot: np.array(w, np.float32, order="C") for slot, w in layer.folded().items()}
            sizes = {slot: w.shape for slot, w in own.items()}
            shape = ops.infer(layer.op, layer.attrs, tuple(shapes[i] for i in layer.inputs), sizes)
            shapes[layer.name] = shape
            keys = {slot: f"{layer.name}.{slot}" for slot in own}
            weights |= {keys[slot]: w for slot, w in own.items()}
            nodes.append(Node(layer.name, layer.op, layer.inputs, shape, layer.attrs, keys))
        return Graph(tuple(nodes), (nodes[-1].id,), weights)


class _Draw:
    """Adds layers to a net; each call returns the new layer's name."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
        self.rng, self.net = rng, Net(shape)
        self._sizes = {"image": shape}

    def add(
        self, op: str, *inputs: str, attrs: dict[str, Any] | None = None, norm: bool = False, **weights: Array
    ) -> str:
        name = f"{op}{len(self.net.layers) + 1}"
        layer = Layer(name, op, inputs, attrs or {}, weights)
        if norm:
            maps, r = len(weights["weight"]), self.rng
            layer.norm = {
                "gain": r.uniform(0.7, 1.3, maps), "shift": r.normal(0, 0.2, maps), "mean": r.normal(0, 0.3, maps),
                "variance": r.uniform(0.4, 1.6, maps), "eps": 1e-5,
            }  # fmt: skip
        self.net.layers.append(layer)
        sizes = {slot: w.shape for slot, w in weights.items()}
        self._sizes[name] = ops.infer(op, attrs or {}, tuple(self._sizes[i] for i in inputs), sizes)
        return name

    def conv(self, x: str, maps: int, kernel: int = 3, groups: int = 1, norm: bool = True) -> str:
        depth, pad = self._sizes[x][1] // groups, kernel // 2
        attrs = {"stride": [1, 1], "padding": [pad, pad], "dilation": [1, 1], "groups": groups}
        weight = self.rng.normal(0, 1.3 / math.sqrt(depth * kernel**2), (maps, depth, kernel, kernel))
        return self.add("conv", x, attrs=attrs, norm=norm, weight=weight, bias=self.rng.normal(0, 0.3, maps))

    def linear(self, x: str, size: int) -> str:
        inputs = self._sizes[x][-1]
        weight = self.rng.normal(0, 1.3 / math.sqrt(inputs), (size, inputs))
        return self.add("linear", x, weight=weight, bias=self.rng.normal(0, 0.3, size))

    def average(self, x: str) -> str:
        return self.add("sumpool", x, attrs={"kernel": [2, 2], "stride": [2, 2], "padding": [0, 0], "divisor": 4})

    def largest(self, x: str) -> str:
        for axis in (3, 2):
            attrs = {
                "kernel": 2,
                "stride": 2,
                "padding": 0,
                "dilation": 1,
                "windows": self._sizes[x][axis] // 2,
                "axis": axis,
            }
            x = self.add("max", x, attrs=attrs)
        return x

    def flat(self, x: str) -> str:
        size = self._sizes[x]
        return self.add("reshape", x, attrs={"shape": [size[0], math.prod(size[1:])]})


def _plain(d: _Draw) -> None:
    x = d.add("relu", d.conv("image", 6))
    x = d.add("relu", d.conv(d.largest(x), 6))
    d.linear(d.add("relu", d.linear(d.flat(d.average(x)), 12)), 5)


def _residual(d: _Draw) -> None:
    x = d.add("relu", d.conv("image", 6))
    y = d.conv(d.add("relu", d.conv(x, 6)), 6)
    x = d.add("relu", d.add("add", y, x))
    d.linear(d.flat(d.average(x)), 5)


def _quartic(d: _Draw) -> None:
    coeffs = {"coeffs": ["1220/4096", "1/2", "663/4096", "0", "-13/4096"]}
    x = d.add("poly", d.conv("image", 5), attrs=coeffs)
    x = d.add("poly", d.conv(d.average(x), 6), attrs=coeffs)
    d.linear(d.flat(x), 5)


def _separable(d: _Draw) -> None:
    six = {"low": "0", "high": "6"}
    x = d.add("clip", d.conv("image", 6, 1), attrs=six)
    x = d.add("clip", d.conv(x, 6, 3, groups=6), attrs=six)
    d.linear(d.flat(d.average(d.conv(x, 6, 1))), 5)


def _dense(d: _Draw) -> None:
    x = d.add("relu", d.linear(d.flat("image"), 16))
    x = d.add("leaky", d.linear(x, 16), attrs={"slope": "1/10"})
    d.linear(x, 5)


NETS: tuple[Callable[[_Draw], None], ...] = (_plain, _residual, _quartic, _separable, _dense)


def make_net(kind: int, seed: int) -> Net:
    """One of the nets with weights of its own, for two pictures of three channels."""
    d = _Draw(np.random.default_rng(1000 + seed), (2, 3, 8, 8))
    NETS[kind % len(NETS)](d)
    return d.net


def pictures(seed: int, count: int = 48) -> Array:
    """Made pictures [count, 3, 8, 8], smooth as pictures are, with channels unlike each other."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 1, (count, 3, 4, 4))
    wide = coarse.repeat(2, 2).repeat(2, 3)
    soft = (wide + np.roll(wide, 1, 2) + np.roll(wide, 1, 3) + np.roll(wide, (1, 1), (2, 3))) / 4
    x = soft + 0.2 * rng.normal(0, 1, soft.shape)
    return np.clip(x, -3, 3) * np.array([1.0, 0.8, 0.6])[:, None, None] + np.array([0.1, 0.2, -0.3])[:, None, None]
