"""Published weight files for the nets of the zoo: .pth and .pt without pickled code, and .safetensors."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tacit.errors import InvalidFile

__all__ = ["load_weights"]

#: Under which keys training scripts keep the weights in a checkpoint.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
#: DenseNet's files of 2017 have a point within the names of layers.
_OLD_DENSE = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)")
_SHOWN = 3


def load_weights(model: Any, path: str | Path, *, beside: tuple[str, ...] = ()) -> None:
    """Copy the weights in the file at `path` into the torch module `model`, which goes into evaluation mode.

    The file is one of torch.save (a state dict, or a checkpoint that holds one; nothing in it is executed) or of
    safetensors, with every tensor of the model under its name, after an optional "module."; tensors whose names begin
    with one of `beside` may be there too. Half precisions widen. Raises InvalidFile, which leaves the model as it was.
    """
    path = Path(path)
    found = _renamed(_read(path))
    wanted = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    missing = [name for name in wanted if name not in found]
    strange = [name for name in found if name not in wanted and not name.startswith(beside)]
    if missing or strange:
        what = f"lacks {_some(missing)}" if missing else f"holds {_some(strange)}, which the net does not have"
        raise InvalidFile(f"{path.name} {what}; give the weights of this very architecture")
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape:
            have, need = tuple(found[name].shape), tuple(tensor.shape)
            raise InvalidFile(f"{name} has shape {have} in {path.name} and {need} in the net; give this net's weights")
        if not found[name].is_floating_point() or not found[name].isfinite().all():
            raise InvalidFile(f"{name} in {path.name} is not all finite floating-point numbers; give trained weights")
    model.load_state_dict({name: found[name] for name in wanted}, strict=False)
    model.eval().requires_grad_(False)


def _read(path: Path) -> Mapping[str, Any]:
    """The file's content by name."""
    if not path.is_file():
        raise InvalidFile(f"there is no file {path}")
    if path.suffix == ".safetensors":
        return _safetensors(path)
    if path.suffix not in (".pth", ".pt", ".bin"):
        raise InvalidFile(f"{path.name} is not a weight file; give .pth, .pt, .bin or .safetensors")
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, OSError) as error:
        raise InvalidFile(
            f"{path.name} is damaged or holds more than tensors, which is not read; save model.state_dict() alone"
        ) from error
    while isinstance(content, Mapping) and any(isinstance(content.get(key), Mapping) for key in _WRAPPERS):
        content = next(content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping))
    if not isinstance(content, Mapping):
        raise InvalidFile(f"{path.name} holds no weights by name; save model.state_dict()")
    return content


def _safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        content: Mapping[str, Any] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InvalidFile(f"{path.name} is truncated or not a safetensors file") from error
    return content


def _renamed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors under today's names; counters of training are left out."""
    import torch

    tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
    kept = {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}
    return {_OLD_DENSE.sub(r"\1\2", name.removeprefix("module.")): value for name, value in kept.items()}


def _some(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
