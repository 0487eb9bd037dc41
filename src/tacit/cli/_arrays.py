"""Arrays from .npy and .npz files, checked, without pickles."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InvalidFile, InvalidInput
from tacit.run.execute import as_floats

__all__ = ["check_writable", "load_arrays", "save_arrays"]

_DAMAGE = (ValueError, EOFError, KeyError, SyntaxError, MemoryError, zipfile.BadZipFile, zlib.error)


def load_arrays(path: Path) -> list[NDArray[np.float64]]:
    """The arrays of a .npy file (one) or an .npz file (all, in its order), as float64; first axis: examples.

    Raises InvalidFile if it is no such file, InvalidInput if it holds anything but finite numbers.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        named = {path.name: loaded} if isinstance(loaded, np.ndarray) else _unpacked(path, loaded)
    except OSError as error:
        raise InvalidFile(f"cannot read {path}: {error.strerror or 'it is damaged'}") from None
    except _DAMAGE:
        raise InvalidFile(f"{path} is not a complete .npy or .npz file of numbers; save it with numpy.save") from None
    if not named:
        raise InvalidFile(f"{path} holds no array; save the inputs with numpy.savez")
    return [_checked(array, name) for name, array in named.items()]


def _unpacked(path: Path, archive: np.lib.npyio.NpzFile) -> dict[str, NDArray[np.float64]]:
    with archive:
        return {f"{name} in {path.name}": archive[name] for name in archive.files}


def _checked(array: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    if array.dtype.kind not in "fiub" or array.ndim == 0 or array.size == 0:
        raise InvalidInput(
            f"{name} holds {array.dtype} of shape {array.shape}; give numbers whose first axis is the examples"
        )
    return array if array.dtype.kind in "iu" else as_floats(array, name)  # whole numbers may be indices


def check_writable(path: Path) -> None:
    """Raises InvalidInput if no file can be written at `path`: better said before the work than after it."""
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise InvalidInput(f"cannot write {path}; name a file in a folder that exists and is yours")


def save_arrays(path: Path, arrays: list[NDArray[np.float64]]) -> None:
    """Write one array as .npy, or several as .npz under the names output_0, output_1, ... InvalidInput if it cannot."""
    try:
        with path.open("wb") as file:
            if len(arrays) == 1:
                np.save(file, arrays[0], allow_pickle=False)
            else:
                np.savez(file, **{f"output_{i}": array for i, array in enumerate(arrays)})  # type: ignore[arg-type]
    except OSError as error:
        raise InvalidInput(f"cannot write {path}: {error.strerror}") from None
