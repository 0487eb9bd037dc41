"""Checkpoints: the whole state of a run in one file, written atomically and read without executing anything in it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tacit.codesign.data.sets import Data
from tacit.codesign.structure import structure
from tacit.codesign.training.objective import Objective
from tacit.codesign.training.recipe import Recipe
from tacit.errors import InvalidFile, InvalidInput

__all__ = ["FILE", "identity", "load", "save"]

#: The checkpoint's name in a run's folder.
FILE = "checkpoint.pt"
_FORMAT = 1


def identity(model: nn.Module, data: Data, recipe: Recipe, objective: Objective, select: str) -> dict[str, Any]:
    """What must be the same for a checkpoint to be continued: recipe, data, objective, layers and shapes."""
    shapes = [(name, tuple(tensor.shape)) for name, tensor in model.state_dict().items()]
    kind = type(objective)
    return {
        **recipe.identity(),
        "select": select,
        "data": f"{data.name} {data.shape} {data.classes} classes",
        "training examples": len(data.train),
        "held-out examples": len(data.held_out),
        "training labels": hashlib.sha256(data.train.labels.numpy().tobytes()).hexdigest()[:16],
        "objective": f"{kind.__module__}.{kind.__qualname__}",
        **{f"objective's {name}": repr(value) for name, value in objective.settings().items()},
        "model": hashlib.sha256(repr((structure(model), shapes)).encode()).hexdigest()[:16],
    }


def save(folder: Path, state: dict[str, Any], who: dict[str, Any]) -> None:
    """Write `state` of the run `who` into `folder`, which is made; a crash leaves the old file or the new one.

    Raises:
        InvalidInput: the folder or the file cannot be written.
    """
    path = folder / FILE
    draft = path.with_suffix(".draft")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            torch.save({"format": _FORMAT, "identity": who, "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise InvalidInput(
            f"the checkpoint {path} cannot be written: {error.strerror}; choose another folder"
        ) from error


def load(folder: Path, who: dict[str, Any]) -> dict[str, Any] | None:
    """The state that `save` wrote into `folder`, with tensors on the CPU, or None if there is none.

    Raises:
        InvalidFile: the file is altered, truncated or not a checkpoint of ours.
        InvalidInput: it is another run's; says the first difference.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        version, theirs, state = found["format"], dict(found["identity"]), dict(found["state"])
    except Exception as error:  # PyTorch's reader raises anything at a damaged file
        raise InvalidFile(f"{path} is no checkpoint of ours, or it is damaged; delete it to start afresh") from error
    if version != _FORMAT:
        raise InvalidFile(f"the checkpoint {path} has format {version}, and this version reads {_FORMAT}; delete it")
    for name in who:
        if theirs.get(name) != who[name]:
            raise InvalidInput(
                f"the checkpoint {path} is another run's: its {name} is {theirs.get(name)!r} and this one's "
                f"{who[name]!r}; use another folder, or resume=False to start afresh"
            )
    return state
