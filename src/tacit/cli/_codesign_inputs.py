"""The trained model that commands of co-design are given: a torch module from the owner's code, with its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tacit.errors import InvalidFile, InvalidInput

__all__ = ["load_trained"]


def load_trained(model: str, weights: Path | None) -> Any:
    """The torch module that "file.py:name" makes, with the weights of a .safetensors or .pth file if one is given.

    The Python file is executed: it is the owner's own code; weight files are not. Raises InvalidFile, InvalidInput.
    """
    from tacit.cli._models import load_source

    source = load_source(model)
    if isinstance(source, Path):
        raise InvalidInput(f"{model} cannot be trained; give the module itself: file.py:name, with --weights if needed")
    if weights is None:
        return source
    if not weights.is_file():
        raise InvalidFile(f"there is no file {weights}")
    try:
        source.load_state_dict(_tensors(weights))
    except (RuntimeError, TypeError, AttributeError) as error:
        first = str(error).partition("\n")[2].strip().partition("\n")[0] or str(error)
        raise InvalidInput(f"the weights of {weights} are not those of {model}: {first}") from None
    return source


def _tensors(path: Path) -> Any:
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # parsers of damaged files raise anything
        raise InvalidFile(f"{path} holds no weights: save them with safetensors, or torch.save(state_dict)") from error
