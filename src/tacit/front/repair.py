"""Repairs of an ONNX model: what leaves its function as it is, and operations that the owner asks to be replaced.

The function is compared by ONNX's reference evaluator before and after; a repair that changes it is not written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import checker, helper, version_converter
from onnx.reference import ReferenceEvaluator

from tacit.errors import InvalidFile, InvalidInput

__all__ = ["repair", "repair_file"]

_OLDEST, _TARGET = 13, 17
#: What an operation may be replaced by: it reads one value and has no attributes.
_SIMPLE = ("Relu", "Identity", "Abs", "Sigmoid", "Tanh", "Softplus")
#: What a repaired model may differ by, of the outputs' size.
_SAME = 1e-5


def repair_file(source: Path, out: Path, replace: Mapping[str, str]) -> list[str]:
    """Write the repaired model of the .onnx file `source` at `out`; what was done, in sentences.

    Raises InvalidInput (no ONNX file, an unknown replacement), InvalidFile.
    """
    if source.suffix != ".onnx" or out.suffix != ".onnx":
        raise InvalidInput("only ONNX models can be repaired; export the model to .onnx first")
    try:
        model = onnx.load(source)
        checker.check_model(model)
    except (DecodeError, OSError, ValueError, checker.ValidationError) as error:
        raise InvalidFile(f"{source} cannot be read as an ONNX model: {str(error).splitlines()[0]}") from error
    fixed, done = repair(model, replace)
    try:
        onnx.save(fixed, out)
    except OSError as error:
        raise InvalidInput(f"cannot write {out}: {error.strerror}") from error
    return done


def repair(model: onnx.ModelProto, replace: Mapping[str, str]) -> tuple[onnx.ModelProto, list[str]]:
    """A repaired copy of `model`, and what was done. `replace` names operations ({"Elu": "Relu"}) to put others for.

    Raises InvalidInput.
    """
    for new in replace.values():
        if new not in _SIMPLE:
            raise InvalidInput(f"operations are replaced by one of {', '.join(_SIMPLE)}, not by {new}")
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    done: list[str] = []
    for step in (_newer, _trimmed, _pruned):
        changed, said = step(fixed)
        if said and _same(fixed, changed):
            fixed = changed
            done += said
    done += _replaced(fixed, replace)
    return fixed, done


Repair = Callable[[onnx.ModelProto], tuple[onnx.ModelProto, list[str]]]


def _newer(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """The model in an opset that the importer reads."""
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if version >= _OLDEST:
        return model, []
    try:
        return version_converter.convert_version(model, _TARGET), [f"opset {version} was converted to {_TARGET}"]
    except (RuntimeError, ValueError):  # what the converter cannot do stays, and is told by the check
        return model, []


def _readers(graph: onnx.GraphProto) -> set[str]:
    inner = [a.g for n in graph.node for a in n.attribute if a.type == onnx.AttributeProto.GRAPH]
    names = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    return names.union(*(_readers(g) for g in inner)) if inner else names


def _trimmed(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """No optional outputs at a node's end that nobody reads, such as a max-pool's indices or a dropout's mask."""
    copy, said = _copied(model), []
    read = _readers(copy.graph)
    for node in copy.graph.node:
        while len(node.output) > 1 and node.output[-1] not in read:
            said.append(f"{node.name or node.output[0]} ({node.op_type}): the output {node.output[-1]} is not read")
            del node.output[-1]
    return copy, said


def _pruned(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """No nodes that no output depends on."""
    copy, said = _copied(model), []
    while dead := [n for n in copy.graph.node if not _readers(copy.graph).intersection(n.output)]:
        for node in dead:
            said.append(f"{node.name or node.output[0]} ({node.op_type}): nothing depends on it; left out")
            copy.graph.node.remove(node)
    return copy, said


def _replaced(model: onnx.ModelProto, replace: Mapping[str, str]) -> list[str]:
    """Put other operations where the owner asked; the function changes."""
    said = []
    for node in model.graph.node:
        new = replace.get(node.op_type)
        if new is not None:
            said.append(f"{node.name or node.output[0]}: {node.op_type} was replaced by {new}, as asked; train again")
            node.op_type = new
            del node.attribute[:]
            del node.input[1:], node.output[1:]
    missing = sorted(set(replace) - {line.split(": ")[1].split(" ")[0] for line in said})
    if missing:
        raise InvalidInput(f"the model has no operation {', '.join(missing)} to replace")
    return said


def _copied(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _same(before: onnx.ModelProto, after: onnx.ModelProto) -> bool:
    """Whether both give the same on made inputs; True too where the evaluator can run neither."""
    feeds = dict(_feeds(before))
    try:
        wanted: Any = ReferenceEvaluator(before).run(None, feeds)
    except Exception:  # an operation that the evaluator does not know
        return True
    got: Any = ReferenceEvaluator(after).run(None, feeds)
    pairs = list(zip(got, wanted, strict=True))
    return all(np.allclose(g, w, rtol=0, atol=_SAME * max(float(np.abs(w).max(initial=0.0)), 1e-9)) for g, w in pairs)


def _feeds(model: onnx.ModelProto) -> Iterator[tuple[str, Any]]:
    """Made inputs: a slow wave, sizes that are open taken as 1."""
    stored = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        if value.name not in stored:
            shape = [size.dim_value or 1 for size in value.type.tensor_type.shape.dim]
            dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            yield value.name, np.sin(np.arange(int(np.prod(shape))) * 0.7).reshape(shape).astype(dtype)
