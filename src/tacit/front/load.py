"""One door for every kind of model that can be imported.

The importers are loaded by name and only when a model needs them, since a client has neither torch nor onnx.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from tacit.errors import InvalidFile, InvalidInput
from tacit.ir import Graph

__all__ = ["load_model"]


def load_model(source: Any, example: Any = None) -> Graph:
    """The Graph of `source`: a torch.nn.Module, the path of an .onnx or .pt2 file, or a Graph itself.

    A module needs an example input; for a path it may be left out, and for ONNX only its batch size counts. A .pt2 file
    is one that torch.export.save made. Pickles are never read. Raises InvalidInput, InvalidFile and Refused.
    """
    if isinstance(source, Graph):
        return source
    if isinstance(source, str | Path):
        return _from_path(Path(source), example)
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(source, torch.nn.Module):
        raise InvalidInput(
            f"a model is a torch.nn.Module, a path to .onnx or .pt2, or a Graph, not {type(source).__name__}"
        )
    if example is None:
        raise InvalidInput("a PyTorch model needs an example input: a tensor, or a tuple of tensors")
    graph: Graph = _importer("torch").from_torch(source, example)
    return graph


def _from_path(path: Path, example: Any) -> Graph:
    if path.suffix not in (".onnx", ".pt2"):
        raise InvalidInput(
            f"{path.name} is not a model file; save the model as .onnx, or as .pt2 with torch.export.save"
        )
    if not path.is_file():
        raise InvalidFile(f"there is no file {path}")
    graph: Graph
    if path.suffix == ".onnx":
        first = example[0] if isinstance(example, (tuple, list)) and example else example
        shape = getattr(first, "shape", None)
        graph = _importer("onnx").from_onnx(path, batch=int(shape[0]) if shape else 1)
    else:
        graph = _importer("torch").from_exported(_importer("pt2").read_program(path))
    return graph


def _importer(name: str) -> ModuleType:
    """The module `tacit.front.<name>`. Raises InvalidInput when the package that it reads with is not installed."""
    try:
        return import_module(f"tacit.front.{name}")
    except ModuleNotFoundError as error:
        package = (error.name or name).partition(".")[0]
        raise InvalidInput(
            f"this model needs the package {package}, which is not installed; install it first"
        ) from error
