"""The freedom of scale in a network: which channels of which values may be rescaled, and which only together.

Dividing channel c of a value by s and multiplying the weights that read it by s changes nothing. A convolution, matrix
product or batch norm absorbs any scale on either side; sums want the same scale of both operands; pools, ReLU and the
scaled polynomials s P(x / s) hand on what comes in; inputs, outputs and any other operation want scale 1. Channels that
want the same scale form a class. A net's activations can thus be normalised per channel at no cost where their class is
free; in a residual stage all activations that meet in sums share one class for each channel.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional

from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.finetune.progressive import Blend
from tacit.codesign.training.devices import evaluating
from tacit.errors import InvalidInput

__all__ = ["CONVOLUTIONS", "FIXED", "NORMS", "TRANSPOSED", "Freedom"]

Classes = NDArray[np.int64]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_ABSORBING = (*CONVOLUTIONS, *TRANSPOSED, *NORMS, nn.Linear)
_ACTIVATIONS = (PolyAct, Blend)
#: Modules and functions of one value that act on each channel by itself and commute with positive factors.
_PASSING = (
    *(*_ACTIVATIONS, nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool2d),
    *(nn.Upsample, nn.ZeroPad2d),
)
_PASSING_CALLS = frozenset(
    {
        *(functional.relu, torch.relu, functional.leaky_relu, functional.dropout),
        *(functional.avg_pool2d, functional.max_pool2d, functional.adaptive_avg_pool2d, functional.adaptive_max_pool2d),
        *("relu", "contiguous", "clone"),
    }
)
_SUMS = frozenset(
    {operator.add, operator.iadd, operator.sub, operator.isub, torch.add, torch.sub, "add", "add_", "sub"}
)
_MEANS = frozenset({torch.mean, "mean"})
_SHAPES = frozenset({torch.flatten, torch.reshape, "flatten", "reshape", "view"})
#: The class of channels that cannot be rescaled.
FIXED = 0


class _Tracer(fx.Tracer):
    """Traces down to torch's own modules and the activations."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a call of `m` is one node."""
        return isinstance(m, _ACTIVATIONS) or bool(super().is_leaf_module(m, module_qualified_name))


class Freedom:
    """The classes of the channels of every value in `model`, for inputs shaped like `example` (a batch).

    sites    classes of each activation's channels, by module name, in the order of calls; 0: cannot be rescaled
    edges    classes of the channels before and after each layer with weights, by module name
    blocked  why channels of a site cannot be rescaled, by module name: the operation that wants scale 1

    Channels lie along axis 1. Raises InvalidInput if torch.fx cannot trace the model.
    """

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        self._parents: list[int] = [FIXED]
        self._fixed: dict[int, str] = {}
        self._values: dict[fx.Node, Classes] = {}
        self._modules = dict(model.named_modules())
        self._sites: dict[str, Classes] = {}
        self._edges: dict[str, tuple[Classes, Classes]] = {}
        for node in _traced(model, example).nodes:
            self._visit(node)
        self._keep_shared()
        reasons = {self._find(item): reason for item, reason in self._fixed.items()}
        self.sites: Mapping[str, Classes] = {name: self._named(own, reasons) for name, own in self._sites.items()}
        self.edges: Mapping[str, tuple[Classes, Classes]] = {
            name: (self._named(before, reasons), self._named(after, reasons))
            for name, (before, after) in self._edges.items()
        }
        why = {name: [reasons[r] for r in self._roots(own) if r in reasons] for name, own in self._sites.items()}
        self.blocked: Mapping[str, str] = {name: found[0] for name, found in why.items() if found}

    # Sets of channels: each is named by its least member.

    def _new(self, count: int) -> Classes:
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def _find(self, item: int) -> int:
        while self._parents[item] != item:
            self._parents[item] = self._parents[self._parents[item]]
            item = self._parents[item]
        return item

    def _join(self, a: Classes, b: Classes) -> None:
        for left, right in zip(a.tolist(), b.tolist(), strict=True):
            low, high = sorted((self._find(left), self._find(right)))
            self._parents[high] = low

    def _fix(self, classes: Classes, reason: str) -> None:
        for item in classes.tolist():
            self._fixed.setdefault(item, reason)

    def _roots(self, classes: Classes) -> list[int]:
        return [self._find(item) for item in classes.tolist()]

    def _named(self, classes: Classes, fixed: Mapping[int, str]) -> Classes:
        return np.array([FIXED if root in fixed else root for root in self._roots(classes)], np.int64)

    # The rules, one node at a time.

    def _visit(self, node: fx.Node) -> None:
        shape = _shape(node)
        inputs = [parent for parent in node.all_input_nodes if parent in self._values]
        if node.op == "output":
            for parent in inputs:
                self._fix(self._values[parent], "the model's output")
            return
        if shape is None or len(shape) < 2:
            for parent in inputs if node.op != "call_method" or node.target not in ("size", "dim") else []:
                self._fix(self._values[parent], _title(node))
            return
        own = self._new(shape[1])
        self._values[node] = own
        if node.op in ("placeholder", "get_attr"):
            self._fix(own, f"the input {node.name}" if node.op == "placeholder" else f"the tensor {node.target}")
        elif not self._rule(node)(node, inputs, own):
            for classes in (own, *(self._values[parent] for parent in inputs)):
                self._fix(classes, _title(node))

    def _rule(self, node: fx.Node) -> Callable[[fx.Node, list[fx.Node], Classes], bool]:
        target = node.target
        if node.op == "call_module":
            module = self._modules[str(target)]
            if isinstance(module, nn.Flatten):
                return self._reshaped
            if isinstance(module, _ABSORBING):
                return self._absorbed
            return self._passed if isinstance(module, _PASSING) else _refuse
        if target in _SUMS:
            return self._summed
        if target in _PASSING_CALLS:
            return self._passed
        if target in _SHAPES or target in _MEANS:
            return self._reshaped
        return {torch.cat: self._joined, functional.pad: self._padded}.get(target, _refuse)

    def _absorbed(self, node: fx.Node, inputs: list[fx.Node], own: Classes) -> bool:
        name, module = str(node.target), self._modules[str(node.target)]
        shape = _shape(inputs[0])
        deep = isinstance(module, nn.Linear) and shape is not None and len(shape) > 2
        if deep or (isinstance(module, TRANSPOSED) and module.groups > 1):
            return False
        before = self._values[inputs[0]]
        if name in self._edges:
            self._join(before, self._edges[name][0])
            self._join(own, self._edges[name][1])
        self._edges[name] = (before, own)
        return True

    def _passed(self, node: fx.Node, inputs: list[fx.Node], own: Classes) -> bool:
        if len(inputs) != 1 or len(self._values[inputs[0]]) != len(own):
            return False
        self._join(self._values[inputs[0]], own)
        name = str(node.target)
        if node.op == "call_module" and isinstance(self._modules[name], _ACTIVATIONS):
            if name in self._sites:
                self._join(own, self._sites[name])
            self._sites[name] = own
        return True

    def _summed(self, node: fx.Node, inputs: list[fx.Node], own: Classes) -> bool:
        terms = [x for x in node.args[:2] if isinstance(x, fx.Node)]
        if len(terms) != 2 or any(x not in self._values or _shape(x) != _shape(node) for x in terms):
            return False
        for term in terms:
            self._join(self._values[term], own)
        return True

    def _joined(self, node: fx.Node, inputs: list[fx.Node], own: Classes) -> bool:
        axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        rank, parts = len(_shape(node) or ()), node.args[0] if node.args else node.kwargs.get("tensors")
        if axis not in (1, 1 - rank) or not isinstance(parts, list | tuple) or any(x not in inputs for x in parts):
            return False
        self._join(np.concatenate([self._values[x] for x in parts]), own)
        return True

    def _reshaped(self, node: fx.Node, inputs: list[fx.Node], own: Classes) -> bool:
        """A flattening, or a mean over positions: a channel becomes a run of neighbours, or stays one."""
        before, after = _shape(inputs[0]), _shape(node)
        if before is None or after is None or len(before) < 2 or before[0] != after[0]:
            return False
        positions = after[1] // before[1] if before[1] else 0
        whole = len(after) == 2 and positions * before[1] == after[1] and after[1] == int(np.prod(before[1:]))
        if node.target in _MEANS:
            if not _over_positions(node, len(before)) or after[:2] != before[:2]:
                return False
        elif not (whole or before == after):
            return False
        self._join(np.repeat(self._values[inputs[0]], positions), own)
        return True

    def _padded(self, node: fx.Node, inputs: list[fx.Node], own: Classes) -> bool:
        """Zeros around a value: new channels of zeros may have any scale."""
        widths, rank = list(node.args[1]), len(_shape(node) or ())
        others = (*node.args[2:], *node.kwargs.values())
        if len(inputs) != 1 or any(x not in ("constant", 0, 0.0, None) for x in others):
            return False
        first = widths[2 * (rank - 2)] if len(widths) > 2 * (rank - 2) else 0
        inner = self._values[inputs[0]]
        if first < 0 or first + len(inner) > len(own) or len(widths) > 2 * (rank - 1):
            return False
        self._join(inner, own[first : first + len(inner)])
        return True

    def _keep_shared(self) -> None:
        """Layers that share a tensor keep it as it is."""
        owners: defaultdict[int, list[str]] = defaultdict(list)
        for name in self._edges:
            for parameter in self._modules[name].parameters(recurse=False):
                owners[id(parameter)].append(name)
        for names in owners.values():
            for name in names if len(names) > 1 else ():
                for classes in self._edges[name]:
                    self._fix(classes, f"{name}, whose weights another layer shares")


def _refuse(node: fx.Node, inputs: list[fx.Node], own: Classes) -> bool:
    return False


def _over_positions(node: fx.Node, rank: int) -> bool:
    """Whether a mean is along axes behind the channels' only."""
    given = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    axes = [given] if isinstance(given, int) else given
    return isinstance(axes, list | tuple) and all(isinstance(a, int) and a % rank > 1 for a in axes) and bool(axes)


def _shape(node: fx.Node) -> tuple[int, ...] | None:
    meta: Any = node.meta.get("tensor_meta")
    return tuple(meta.shape) if hasattr(meta, "shape") else None


def _title(node: fx.Node) -> str:
    target = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    return f"{target} ({node.name})" if target != node.name else str(target)


def _traced(model: nn.Module, example: Tensor) -> fx.Graph:
    """The model's graph with shapes; the model's own modules and modes are untouched."""
    with evaluating(model):
        try:
            traced = fx.GraphModule(model, _Tracer().trace(model))
            ShapeProp(traced).propagate(example)
        except Exception as error:
            lines = str(error).strip().splitlines()
            raise InvalidInput(
                f"torch.fx cannot trace this model, which normalising its ranges needs: "
                f"{lines[0] if lines else type(error).__name__}; remove conditions that depend on data from its "
                "forward, or fine-tune it with normalise=False"
            ) from error
    return traced.graph
