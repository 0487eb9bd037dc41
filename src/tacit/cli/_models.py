"""The model, example and calibration data that `tacit compile` is given on its command line."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit.cli._arrays import load_arrays
from tacit.errors import InvalidFile, InvalidInput

__all__ = ["Samples", "as_example", "load_example", "load_samples", "load_source"]

_SHAPE = re.compile(r"[0-9]+(?:[,x][0-9]+)*")

Samples = list[NDArray[np.float64]]


def load_source(model: str) -> Any:
    """What `model` names: the path of a model file, or the torch module that "file.py:name" makes (or is).

    The Python file is executed: it is the owner's own code. Raises InvalidFile, InvalidInput (the code failed, or made
    no torch module).
    """
    path, colon, name = model.rpartition(":")
    if not colon or not path.endswith(".py"):
        if model.endswith(".py"):
            raise InvalidInput(f"say what makes the model: {model}:NAME, where NAME is a function or a torch module")
        return Path(model)
    try:
        found = getattr(_execute(Path(path)), name)
        made = found() if callable(found) and not _is_module(found) else found
    except AttributeError as error:
        raise InvalidInput(f"{path} has no {name!r}, or it failed: {error}") from error
    except (InvalidInput, KeyboardInterrupt):
        raise
    except Exception as error:  # whatever the owner's code raises is theirs to see
        raise InvalidInput(f"{model} failed with {type(error).__name__}: {error}") from error
    if not _is_module(made):
        raise InvalidInput(f"{model} gives a {type(made).__name__}, not a torch.nn.Module")
    return made


def _execute(path: Path) -> Any:
    """The module made by executing `path`; files beside it can be imported, as if it were run."""
    if not path.is_file():
        raise InvalidFile(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InvalidFile(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    with _importable(path.resolve().parent):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _is_module(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def as_example(source: Any, inputs: Samples) -> Any:
    """The example as the importer wants it: float32 tensors for a torch module, arrays for a file; alone if one."""
    values: tuple[Any, ...] = tuple(inputs)
    if _is_module(source):
        torch = sys.modules["torch"]
        values = tuple(torch.from_numpy(array.astype(np.float32)) for array in inputs)
    return values[0] if len(values) == 1 else values


def load_samples(examples: list[str], calibration: Path | None) -> tuple[Samples, Samples]:
    """The example (an array an input, batch first) and the data on which ranges are observed, whole batches of it.

    examples      shapes such as 1,3,32,32, one an input, or one file; none: the first row of the calibration data
    calibration   a file; None: the example, if that is a file

    Raises InvalidInput, InvalidFile.
    """
    data = load_arrays(calibration) if calibration else []
    example = load_example(examples) if examples else [array[:1] for array in data]
    if not data:
        if not examples or _shapes(examples) is not None:
            raise InvalidInput("ranges need data: give --calibration FILE.npy with real inputs, examples first")
        data = example
    if len(data) != len(example):
        raise InvalidInput(f"the example has {len(example)} inputs, the calibration data {len(data)}")
    sizes = {len(array) for array in data}
    batch = len(example[0])
    if len(sizes) != 1 or min(sizes) < batch:
        raise InvalidInput(f"the calibration data need the same number of examples for each input, at least {batch}")
    whole = min(sizes) // batch * batch
    return example, [array[:whole] for array in data]


def load_example(examples: list[str]) -> Samples:
    """The example (an array an input, batch first) of shapes such as 1,3,32,32, one an input, or of one file.

    Raises InvalidInput, InvalidFile.
    """
    shapes = _shapes(examples)
    if shapes is not None:
        return [np.zeros(shape) for shape in shapes]
    if len(examples) > 1:
        raise InvalidInput("give --example once with a file (.npz for several inputs), or once an input with a shape")
    return load_arrays(Path(examples[0]))


def _shapes(examples: list[str]) -> list[tuple[int, ...]] | None:
    """The shapes that `examples` are, or None if they are no shapes."""
    if not all(_SHAPE.fullmatch(text) for text in examples):
        return None
    shapes = [tuple(int(size) for size in re.split("[,x]", text)) for text in examples]
    if any(0 in shape or np.prod(shape, dtype=float) > 1 << 32 for shape in shapes):
        raise InvalidInput("an example's shape needs positive sizes, at most 2^32 numbers in all")
    return shapes
