"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) from the files of their page, the binary or the Python version.

The Python version's files are pickles. They are read by an unpickler that builds plain data only: it imports nothing,
calls nothing that a file names, and takes arrays as their bytes.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from tacit.codesign.data.sets import Images
from tacit.errors import InvalidFile, InvalidInput

__all__ = ["SIZE", "cifar"]

SIZE = 32
_PIXELS = 3 * SIZE * SIZE
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class _Version:
    """Where one version of a set keeps its files; a record of the binary one has `labels` bytes before its pixels."""

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    archive: str
    labels: int = 1


_VERSIONS = {
    10: (
        _Version(
            "cifar-10-batches-bin",
            tuple(f"data_batch_{n}.bin" for n in range(1, 6)),
            ("test_batch.bin",),
            "cifar-10-binary.tar.gz",
        ),
        _Version(
            "cifar-10-batches-py",
            tuple(f"data_batch_{n}" for n in range(1, 6)),
            ("test_batch",),
            "cifar-10-python.tar.gz",
        ),
    ),
    100: (
        _Version("cifar-100-binary", ("train.bin",), ("test.bin",), "cifar-100-binary.tar.gz", labels=2),
        _Version("cifar-100-python", ("train",), ("test",), "cifar-100-python.tar.gz"),
    ),
}


def cifar(classes: int, path: Path | None) -> tuple[Images, Images]:
    """The training and the test split, (3, 32, 32), of CIFAR-10 or, with fine labels, CIFAR-100.

    `path` is the unpacked folder, or the folder that it lies in.

    Raises:
        InvalidInput: it is not there; says what to download and where to unpack it.
        InvalidFile: a file is missing, truncated or not of the format.
    """
    for version in _VERSIONS[classes]:
        for folder in () if path is None else (path / version.folder, path):
            if (folder / version.test[0]).is_file():
                train, test = (
                    Images(*_joined(folder, files, classes, version.labels), classes)
                    for files in (version.train, version.test)
                )
                return train, test
    archives = " or ".join(version.archive for version in _VERSIONS[classes])
    where = f"{path} does not hold CIFAR-{classes}" if path is not None else f"CIFAR-{classes} is not part of Tacit"
    raise InvalidInput(
        f"{where}: download {archives} from https://www.cs.toronto.edu/~kriz/cifar.html, unpack it, and give the "
        "folder that you unpacked it in as the path"
    )


def _joined(folder: Path, files: tuple[str, ...], classes: int, labels: int) -> tuple[torch.Tensor, torch.Tensor]:
    parts = []
    for name in files:
        path = folder / name
        if not path.is_file():
            raise InvalidFile(f"{path} is missing: unpack the archive of CIFAR-{classes} again")
        pixels, found = _binary(path, labels) if name.endswith(".bin") else _pickled(path, classes)
        if len(found) and found.max() >= classes:
            raise InvalidFile(f"{path} has the label {found.max()}, and CIFAR-{classes} has 0 ... {classes - 1}")
        parts.append((pixels, found))
    images, numbers = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    pixels_of_all = torch.from_numpy(images.reshape(-1, 3, SIZE, SIZE))
    return pixels_of_all, torch.from_numpy(numbers.astype(np.int64))


def _binary(path: Path, labels: int) -> tuple[Bytes, Bytes]:
    """Pixels of (n, 3072) and the last label of each record, (n,)."""
    data = np.fromfile(path, np.uint8)
    if len(data) == 0 or len(data) % (labels + _PIXELS):
        raise InvalidFile(
            f"{path} has {len(data)} bytes, which is no whole number of records of {labels + _PIXELS}: it is truncated "
            "or another file; unpack the archive again"
        )
    records = data.reshape(-1, labels + _PIXELS)
    return records[:, labels:], records[:, labels - 1]


def _pickled(path: Path, classes: int) -> tuple[Bytes, NDArray[np.int64]]:
    """Pixels of (n, 3072) and labels of (n,) of a file of the Python version."""
    try:
        with path.open("rb") as file:
            found = _PlainData(file, encoding="bytes").load()
        labels = np.array(found[b"labels" if classes == 10 else b"fine_labels"], dtype=np.int64)
        pixels = found[b"data"].bytes_of((len(labels), _PIXELS))
    except (pickle.UnpicklingError, EOFError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InvalidFile(
            f"{path} is no file of CIFAR-{classes}'s Python version, or it is damaged; unpack the archive again"
        ) from error
    if len(labels) == 0 or labels.min() < 0:
        raise InvalidFile(f"{path} has no labels or negative ones; unpack the archive again")
    return pixels, labels


class _Type:
    """What a pickle says of an array's element type."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """Byte order and alignment, which bytes have none of."""


class _Array:
    """What a pickle says of an array: its state stays plain data until `bytes_of` has checked it."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def bytes_of(self, shape: tuple[int, int]) -> Bytes:
        """The array, which must be of uint8 and `shape`. Raises ValueError or TypeError if it is not."""
        _, found, kind, by_columns, data = self.state
        if tuple(found) != shape or not isinstance(kind, _Type) or kind.code not in ("u1", b"u1"):
            raise ValueError("another shape or type")
        if not isinstance(data, bytes) or len(data) != shape[0] * shape[1]:
            raise ValueError("another length")
        return np.frombuffer(data, np.uint8).reshape(shape, order="F" if by_columns else "C").copy()


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _encoded(text: str, _: str) -> bytes:
    """How Python 3 writes bytes for Python 2: as text whose characters are the bytes."""
    return text.encode("latin-1")


class _PlainData(pickle.Unpickler):
    """An unpickler that knows the names of a NumPy array and of bytes, and gives stand-ins for them."""

    _KNOWN: ClassVar[dict[tuple[str, str], Any]] = {
        **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
        ("_codecs", "encode"): _encoded,
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Type,
    }

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in; anything else is refused."""
        try:
            return self._KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} does not belong in a data set") from None
