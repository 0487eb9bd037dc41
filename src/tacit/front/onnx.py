"""From ONNX: a model file becomes a Graph.

What is public and what is secret: a floating-point initialiser is a parameter, hence the owner's secret, whatever its
size; the
value of a Constant node is public when it is one number. Integers (shapes, axes, paddings), exponents and the fill of a
padding are structure, hence public.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import checker, inliner, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from tacit.errors import InvalidFile, InvalidInput
from tacit.front.build import Builder
from tacit.front.lookups import LOOKUPS
from tacit.front.names import PASSING, unsupported
from tacit.ir import Graph
from tacit.ir.attrs import Shape
from tacit.ir.source import Constant, OneHot, Unsupported, Value
from tacit.ops import adapters

__all__ = ["from_onnx"]

OLDEST = 13


def from_onnx(source: str | Path | onnx.ModelProto, batch: int = 1) -> Graph:
    """The Graph of an ONNX model of opset 13 or newer; open batch sizes become `batch`.

    Raises InvalidFile for a file that is not a valid ONNX model, InvalidInput for one of an older opset or with open
    shapes, and
    Refused with every problem of the model.
    """
    model = source if isinstance(source, onnx.ModelProto) else _read(Path(source))
    if batch < 1:
        raise InvalidInput(f"a batch holds at least one input, not {batch}")
    opset = {imported.domain: imported.version for imported in model.opset_import}
    version = opset.get("", 0)
    if version < OLDEST:
        raise InvalidInput(
            f"the model has opset {version}; convert it to {OLDEST} or newer with onnx.version_converter"
        )
    try:
        checker.check_model(model)
        model = _with_batch(inliner.inline_local_functions(model) if model.functions else model, batch)
        model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (checker.ValidationError, shape_inference.InferenceError, ValueError) as error:
        raise InvalidFile(f"this is not a valid ONNX model: {_sentence(error)}; export it again") from error
    return _Import(model).run()


def _read(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path)
    except (DecodeError, OSError, ValueError, checker.ValidationError) as error:
        raise InvalidFile(f"{path.name} cannot be read as an ONNX model: {_sentence(error)}") from error


def _sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".;:")


def _with_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """A copy whose inputs have `batch` as their first size where it was open.

    Old shapes of other values are forgotten.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    stored = {tensor.name for tensor in copy.graph.initializer}
    for value in copy.graph.input:
        sizes = value.type.tensor_type.shape.dim
        if value.name not in stored and len(sizes) and not sizes[0].dim_value:
            sizes[0].dim_value = batch
    del copy.graph.value_info[:]
    for value in copy.graph.output:
        value.type.tensor_type.ClearField("shape")
    return copy


class _Import:
    """One pass over a model's nodes, which ONNX keeps in topological order."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._builder = Builder()
        self._known: dict[str, Value | OneHot | Constant] = {}
        self._inferred = {v.name: _sizes(v) for v in [*model.graph.value_info, *model.graph.output]}
        self._table = {**PASSING, **adapters("onnx")}
        self._read = {o.name for o in model.graph.output} | {name for node in model.graph.node for name in node.input}

    def run(self) -> Graph:
        """The Graph. Raises InvalidInput and Refused."""
        for tensor in self._model.graph.initializer:
            array = numpy_helper.to_array(tensor)
            self._builder.check_finite(tensor.name, array)
            self._known[tensor.name] = Constant(array, tensor.name, trained=array.dtype.kind not in "iub")
        for value in self._model.graph.input:
            if value.name not in self._known:
                self._known[value.name] = self._input(value)
        for node in self._model.graph.node:
            self._visit(node)
        return self._builder.finish(self._outputs())

    def _input(self, value: onnx.ValueInfoProto) -> Value | OneHot:
        shape = _sizes(value)
        if shape is None or 0 in shape:
            raise InvalidInput(f"input {value.name!r} has an open shape; fix every size but the batch before export")
        whole = value.type.tensor_type.elem_type in (onnx.TensorProto.INT32, onnx.TensorProto.INT64)
        classes = self._classes(value.name) if whole else 0
        return self._builder.indices(value.name, shape, classes) if classes else self._builder.input(value.name, shape)

    def _classes(self, name: str) -> int:
        """The most rows of a table that an input, or what it is moved to, is looked up in; 0 if in none."""
        reached, most = {name}, 0
        for node in self._model.graph.node:
            if node.op_type == "Gather" and node.input[1] in reached and node.input[0] not in reached:
                table = self._known.get(node.input[0])
                most = max(most, len(table.array) if isinstance(table, Constant) and table.array.ndim else 0)
            elif reached.intersection(node.input):
                reached.update(node.output)
        return most

    def _visit(self, node: onnx.NodeProto) -> None:
        source = f"{node.name or node.output[0]} ({node.op_type})"
        inputs = [self._known.get(name) if name else None for name in node.input]
        if node.op_type == "Shape" and isinstance(inputs[0], Value | OneHot):
            self._known[node.output[0]] = _shape_of(inputs[0].shape, node)
        elif not any(isinstance(x, Value | OneHot) for x in inputs) and not self._captures(node):
            self._fold(node, source, inputs)
        else:
            self._call(node, source, inputs)

    def _captures(self, node: onnx.NodeProto) -> bool:
        """Whether the node holds a graph of its own, which may read activations without naming them as inputs."""
        return any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute)

    def _call(self, node: onnx.NodeProto, source: str, inputs: list[Value | OneHot | Constant | None]) -> None:
        adapter = None if node.domain not in ("", "ai.onnx") else self._table.get(node.op_type)
        first = next((x.shape for x in inputs if isinstance(x, Value | OneHot)), ())
        shapes = [self._inferred.get(name) or first for name in node.output]
        if adapter is None:
            self._builder.refuse(source, unsupported(node.op_type))
            for name, shape in zip(node.output, shapes, strict=True):
                self._known[name] = self._builder.opaque(name, shape, source)
            return
        attributes = _attributes(node)
        index = next((x for x in inputs if isinstance(x, OneHot)), None)
        if index is not None and node.op_type == "Cast":
            self._known[node.output[0]] = index
            return
        if index is not None and (node.op_type not in LOOKUPS or inputs[0] is index):
            moved = self._builder.moved(adapter, node.output[0], source, inputs, attributes, index)
            self._record(node, source, moved, shapes)
            return
        adapter = adapter if index is None else LOOKUPS[node.op_type]
        if "outputs" in inspect.signature(adapter).parameters:
            attributes = {**attributes, "outputs": len(node.output)}
        values = self._builder.call(adapter, node.output[0] or source, source, inputs, attributes, shapes)
        self._record(node, source, values, shapes)

    def _record(
        self, node: onnx.NodeProto, source: str, values: Sequence[Value | OneHot | Unsupported], shapes: list[Shape]
    ) -> None:
        """The values of a node's outputs; those that it does not have are refused where they are read."""
        for number, name in enumerate(node.output):
            missing = Unsupported("not yet", f"its output {number}", "Use its first output alone.")
            value = values[number] if number < len(values) else missing
            if not isinstance(value, Unsupported):
                self._known[name] = value
            elif name and name in self._read:
                self._builder.refuse(source, value)
                self._known[name] = self._builder.opaque(name, shapes[number], source)

    def _fold(self, node: onnx.NodeProto, source: str, inputs: list[Value | OneHot | Constant | None]) -> None:
        """A node on known arrays only, computed now; it is as secret as what it reads."""
        if unsupported(node.op_type).what == unsupported("RandomNormal").what:
            self._builder.refuse(source, unsupported(node.op_type))
        constants = {n: x.array for n, x in zip(node.input, inputs, strict=True) if isinstance(x, Constant)}
        try:
            results = _evaluate(node, constants, self._model)
        except Exception as error:  # the evaluator raises whatever numpy raises
            what = f"constants that cannot be computed ({_sentence(error)})"
            self._builder.refuse(source, Unsupported("never", what, "Correct the model."))
            results = [np.zeros(()) for _ in node.output]
        trained = any(isinstance(x, Constant) and x.trained for x in inputs)
        for name, array in zip(node.output, results, strict=False):
            self._known[name] = Constant(array, "", trained)

    def _outputs(self) -> list[Value]:
        values = []
        for output in self._model.graph.output:
            value = self._known.get(output.name)
            if isinstance(value, Value):
                values.append(value)
            else:
                what = "an output that does not depend on the input"
                why = Unsupported("never", what, "Return values computed from the input only.")
                self._builder.refuse(output.name, why)
        return values


def _sizes(value: onnx.ValueInfoProto) -> Shape | None:
    """The shape of a value, 0 for an open size; None when not even the rank is known."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    return tuple(int(size.dim_value) for size in value.type.tensor_type.shape.dim)


def _shape_of(shape: Shape, node: onnx.NodeProto) -> Constant:
    attributes = _attributes(node)
    return Constant(np.array(shape[attributes.get("start", 0) : attributes.get("end")], np.int64), trained=False)


def _attributes(node: onnx.NodeProto) -> Mapping[str, Any]:
    """The node's attributes as numbers, strings and lists."""
    found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    """An attribute's value; one of ONNX's short floats as the number that was meant: 0.1, not 0.10000000149."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _evaluate(
    node: onnx.NodeProto, constants: Mapping[str, NDArray[Any]], model: onnx.ModelProto
) -> list[NDArray[Any]]:
    """The outputs of one node by ONNX's own reference evaluator."""
    names = [name for name in node.output if name]
    graph = onnx.helper.make_graph(
        [node],
        "constant",
        [_declared(name, array) for name, array in constants.items()],
        [onnx.helper.make_empty_tensor_value_info(name) for name in names],
    )
    single = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [np.asarray(result) for result in ReferenceEvaluator(single).run(None, dict(constants))]


def _declared(name: str, array: NDArray[Any]) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
