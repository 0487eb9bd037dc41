"""From PyTorch: a module is traced by torch.export, and the trace becomes a Graph. The only floor that imports torch.

Python numbers in the model's code are public, and so are tensors of whole numbers and of true and false, which are
structure: indices and masks. Every other tensor is the owner's secret, and whatever is computed from one.
"""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind

from tacit.errors import InvalidInput
from tacit.front.build import Builder
from tacit.front.lookups import LOOKUPS
from tacit.front.names import PASSING, unsupported
from tacit.ir import Graph
from tacit.ir.composed import NOTHING_SEEN
from tacit.ir.source import Constant, OneHot, Unsupported, Value
from tacit.ops import adapters

__all__ = ["from_exported", "from_torch"]


def from_torch(model: torch.nn.Module, example: torch.Tensor | tuple[torch.Tensor, ...]) -> Graph:
    """The Graph of `model` in evaluation mode, for inputs of exactly the example's shapes (batch included).

    The model is not changed. Weights of any floating type are accepted and rounded to float32 after norms are folded.
    Raises InvalidInput when torch.export cannot trace the model, and Refused with every problem of one that it can.
    """
    examples = example if isinstance(example, tuple) else (example,)
    if not isinstance(model, torch.nn.Module) or not all(isinstance(x, torch.Tensor) for x in examples) or not examples:
        raise InvalidInput("from_torch takes a torch.nn.Module and an example that is a tensor or a tuple of tensors")
    with _evaluation(model), torch.no_grad(), _quiet():
        try:
            program = torch.export.export(model, examples, strict=False)
        except Exception as error:
            raise InvalidInput(
                f"torch.export cannot trace this model: {_sentence(error)}; "
                "remove conditions and shapes that depend on the data"
            ) from error
        return from_exported(program)


def from_exported(program: torch.export.ExportedProgram) -> Graph:
    """The Graph of a program made by torch.export, in-place operations rewritten as values.

    Raises InvalidInput and Refused.
    """
    with _quiet():
        try:
            functional = program.run_decompositions({})
        except Exception as error:
            raise InvalidInput(f"torch.export cannot rewrite this program: {_sentence(error)}") from error
        return _Import(functional).run()


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings: those of a trace are torch's own, and the caller can do nothing about them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _evaluation(model: torch.nn.Module) -> Iterator[None]:
    """The model in evaluation mode; each module's own mode comes back at the end."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def _sentence(error: Exception) -> str:
    """The first line of an error's text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".;:")


@dataclass(frozen=True)
class _Tensor:
    """A tensor known before the query, under its name in the model ("" when computed)."""

    value: Any
    name: str
    trained: bool

    def constant(self) -> Constant:
        """The same as plain data; half precisions widen to float32, which holds them exactly. Raises InvalidInput."""
        if self.value.layout is not torch.strided or self.value.is_quantized:
            raise InvalidInput(
                f"{self.name or 'a computed constant'} is not a dense tensor; convert the model's weights"
            )
        tensor = self.value.detach().cpu()
        if tensor.dtype in (torch.float16, torch.bfloat16):
            tensor = tensor.to(torch.float32)
        return Constant(tensor.numpy(), self.name, self.trained)


#: Calls whose result depends on the shape of what they read alone.
_OF_SHAPE = frozenset(
    f"aten.{name}.default" for name in ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")
)


#: Conversions of indices, which are whole numbers whatever their type.
_CONVERSIONS = frozenset({"aten._to_copy.default", "aten.to.dtype"})


class _Import:
    """One pass over a traced program."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        self._program = program
        self._builder = Builder()
        self._known: dict[Any, Any] = {}
        self._table = {**PASSING, **adapters("aten"), **LOOKUPS}

    def run(self) -> Graph:
        self._placeholders()
        for node in self._program.graph.nodes:
            if node.op == "call_function":
                self._known[node] = self._call(node)
        return self._builder.finish(self._outputs())

    def _placeholders(self) -> None:
        """Inputs become input nodes; parameters, buffers and constants become known tensors."""
        nodes = {node.name: node for node in self._program.graph.nodes if node.op == "placeholder"}
        for spec in self._program.graph_signature.input_specs:
            node = nodes[spec.arg.name]
            if spec.kind is InputKind.USER_INPUT:
                self._known[node] = self._input(node)
            elif spec.target is not None:
                tensor = _lookup(self._program, spec.target)
                self._known[node] = _Tensor(tensor, spec.target, trained=_is_trained(tensor))
                if isinstance(tensor, torch.Tensor):
                    self._builder.check_finite(spec.target, self._known[node].constant().array)

    def _input(self, node: Any) -> Value | OneHot:
        shape = _shape(node.meta.get("val"))
        if shape is None or not all(isinstance(size, int) for size in shape):
            raise InvalidInput(
                f"input {node.name!r} must be a tensor of fixed shape; export the model without dynamic shapes"
            )
        classes = 0 if node.meta["val"].is_floating_point() else _classes(node)
        return self._builder.indices(node.name, shape, classes) if classes else self._builder.input(node.name, shape)

    def _call(self, node: Any) -> Any:
        if node.target is operator.getitem:
            return self._part(node)
        name, source = str(node.target), _where(node)
        known = not any(map(self._secret, node.all_input_nodes))
        if name in _OF_SHAPE or (known and hasattr(node.target, "tags")):
            return self._constant(node, name, source)
        if name == "aten.as_strided.default" and _same_strides(node):
            return self._known[node.args[0]]
        if name == "aten.eq.Scalar" and node.args[1] == -math.inf and isinstance(self._known[node.args[0]], Value):
            return self._hidden(self._known[node.args[0]], source)
        adapter = self._table.get(name)
        if adapter is None:
            if _shape(node.meta.get("val")) is not None or isinstance(node.meta.get("val"), list | tuple):
                self._builder.refuse(source, unsupported(name))
            return self._opaque(node, source)
        args, kwargs = self._arguments(node)
        index = next((x for x in args if isinstance(x, OneHot)), None)
        if index is not None and name in _CONVERSIONS:
            return index
        if index is not None and name not in LOOKUPS:
            moved = self._builder.moved(adapter, _label(node), source, args, kwargs, index)
            return moved if isinstance(node.meta.get("val"), list | tuple) else moved[0]
        traced = node.meta.get("val")
        shapes = [_shape(part) or () for part in (traced if isinstance(traced, list | tuple) else (traced,))]
        values = self._builder.call(adapter, _label(node), source, args, kwargs, shapes)
        for value, shape in zip(values, shapes, strict=False):
            if isinstance(value, Value) and value.shape != shape:
                raise AssertionError(f"{source} has shape {shape} in the trace and {value.shape} in the graph")
        return values if isinstance(traced, list | tuple) else values[0]

    def _part(self, node: Any) -> Any:
        """One output of a call that has several; adapters offer the first ones, often only one."""
        whole, index = node.args
        values, source = self._known[whole], _where(whole)
        missing = Unsupported("not yet", f"its output {index}", "Use its first output alone.")
        found = values[index] if index < len(values) else missing
        if not isinstance(found, Unsupported):
            return found
        if node.users:
            self._builder.refuse(source, found)
        return self._opaque(node, source)

    def _hidden(self, x: Value, source: str) -> _Tensor:
        """Where an activation is minus infinity: nowhere, for what a mask excludes is a number.

        A softmax that gives zeros where all is excluded asks for it; such a row is refused.
        """
        kept = self._builder.kept(x)
        if kept is not None and not kept.any(-1).all():
            self._builder.refuse(source, Unsupported("not yet", NOTHING_SEEN, "Let every position see one at least."))
        return _Tensor(torch.zeros(x.shape, dtype=torch.bool), "", trained=False)

    def _secret(self, node: Any) -> bool:
        """Whether a node's value, or a part of it, is computed from the model's inputs."""
        known = self._known.get(node)
        return any(isinstance(part, Value | OneHot) for part in (known if isinstance(known, tuple) else (known,)))

    def _constant(self, node: Any, name: str, source: str) -> Any:
        """A call on known tensors only, done now by torch itself."""
        if torch.Tag.nondeterministic_seeded in node.target.tags:
            self._builder.refuse(source, unsupported("aten.rand.default"))
        known = [self._known.get(parent) for parent in node.all_input_nodes]
        trained = any(x.trained for x in known if isinstance(x, _Tensor))

        def tensor(parent: Any) -> Any:
            value = self._known[parent]
            if isinstance(value, Value | OneHot):
                return torch.zeros(value.shape, dtype=parent.meta["val"].dtype)
            return value.value if isinstance(value, _Tensor) else value

        result = node.target(*torch.fx.map_arg(node.args, tensor), **torch.fx.map_arg(node.kwargs, tensor))
        if isinstance(result, list | tuple):
            return tuple(_Tensor(part, "", trained) for part in result)
        return _Tensor(result, "", trained) if isinstance(result, torch.Tensor) else result

    def _opaque(self, node: Any, source: str) -> Any:
        """Stand-ins of the shapes that a refused call has in the trace."""
        traced = node.meta.get("val")
        if isinstance(traced, list | tuple):
            return tuple(self._builder.opaque(node.name, _shape(part) or (), source) for part in traced)
        return self._builder.opaque(node.name, _shape(traced) or (), source)

    def _arguments(self, node: Any) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """The call's arguments as plain data, with the schema's defaults filled in."""
        pair = node.normalized_arguments(self._program.graph_module)
        args, kwargs = (node.args, node.kwargs) if pair is None else (pair.args, pair.kwargs)
        return [self._plain(x) for x in args], {key: self._plain(x) for key, x in kwargs.items()}

    def _plain(self, x: Any) -> Any:
        if isinstance(x, torch.fx.Node):
            known = self._known[x]
            return known.constant() if isinstance(known, _Tensor) else known
        if isinstance(x, list | tuple):
            return [self._plain(item) for item in x]
        return str(x).removeprefix("torch.") if isinstance(x, torch.dtype) else x

    def _outputs(self) -> list[Value]:
        values = []
        by_name = {node.name: value for node, value in self._known.items()}
        for spec in self._program.graph_signature.output_specs:
            if spec.kind is not OutputKind.USER_OUTPUT:
                what = f"the model writes to its {spec.target!r} while it runs"
                self._builder.refuse(str(spec.target), Unsupported("never", what, "Compute new tensors instead."))
                continue
            value = by_name.get(getattr(spec.arg, "name", None))
            if isinstance(spec.arg, ConstantArgument) and spec.arg.value is None:
                continue
            if isinstance(value, Value):
                values.append(value)
            else:
                what = "an output that does not depend on the input"
                self._builder.refuse(
                    "output", Unsupported("never", what, "Return tensors computed from the input only.")
                )
        return values


def _lookup(program: torch.export.ExportedProgram, target: str) -> Any:
    if target in program.state_dict:
        return program.state_dict[target]
    return program.constants[target]


def _is_trained(value: Any) -> bool:
    """Whether a stored value is the owner's secret: whole numbers and masks are structure, such as indices."""
    return not isinstance(value, torch.Tensor) or value.is_floating_point() or value.is_complex()


def _classes(node: Any) -> int:
    """The most rows of a table that an input of indices, or what it is moved to, is looked up in; 0 if in none."""
    seen, pending, most = {node}, [node], 0
    while pending:
        for user in pending.pop().users:
            if str(user.target) in LOOKUPS and user.args[0] not in seen:
                most = max(most, int(user.args[0].meta["val"].shape[0]))
            elif user not in seen and user.op == "call_function":
                seen.add(user)
                pending.append(user)
    return most


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else None


def _same_strides(node: Any) -> bool:
    """Whether a call of as_strided gives its argument as it is."""
    x, sizes, strides = node.args[0].meta["val"], node.args[1], node.args[2]
    axes = [a for a, size in enumerate(sizes) if size > 1]
    same = list(x.shape) == list(sizes) and all(x.stride(a) == strides[a] for a in axes)
    return same and not (node.args[3] if len(node.args) > 3 else 0)


def _module(node: Any) -> tuple[str, str]:
    """Path and class name of the innermost module that a call was made in; both empty for the model itself."""
    stack = node.meta.get("nn_module_stack") or {}
    path, kind = list(stack.values())[-1] if stack else ("", "")
    return str(path), kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"


def _label(node: Any) -> str:
    """What the call's node is called in bills: a layer's own path, "layer1.0.conv1", or "layer1.0.add" in a block."""
    path, kind = _module(node)
    if kind.startswith("torch.nn.modules."):
        return path or node.name
    return f"{path}.{node.name}" if path else str(node.name)


def _where(node: Any) -> str:
    """The module path and the operation, such as "layer1.0.relu (aten.relu.default)"."""
    path, _ = _module(node)
    return f"{path} ({node.target})" if path else f"{node.name} ({node.target})"
