"""One door for every kind of model that can be imported."""

from __future__ import annotations

import sys
from pathlib import Path
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
    if torch is not None and isinstance(source, torch.nn.Module):
        from tacit.front.torch import from_torch

        if example is None:
            raise InvalidInput("a PyTorch model needs an example input: a tensor, or a tuple of tensors")
        return from_torch(source, example)
    raise InvalidInput(
        f"a model is a torch.nn.Module, a path to .onnx or .pt2, or a Graph, not {type(source).__name__}"
    )


def _from_path(path: Path, example: Any) -> Graph:
    if path.suffix not in (".onnx", ".pt2"):
        raise InvalidInput(
            f"{path.name} is not a model file; save the model as .onnx, or as .pt2 with torch.export.save"
        )
    if not path.is_file():
        raise InvalidFile(f"there is no file {path}")
    if path.suffix == ".onnx":
        from tacit.front.onnx import from_onnx

        shape = getattr(example, "shape", None)
        return from_onnx(path, batch=int(shape[0]) if shape else 1)
    from tacit.front.pt2 import read_program
    from tacit.front.torch import from_exported

    return from_exported(read_program(path))
