"""Data sets by name: `load("cifar10", path)`; `digits` and the procedural sets need no download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tacit.codesign.data import cifar, digits, folder, procedural, tiny_imagenet
from tacit.codesign.data.sets import Data, Split, assemble
from tacit.errors import InvalidInput

__all__ = ["NAMES", "load"]


def load(
    name: str,
    path: Path | str | None = None,
    *,
    size: int | None = None,
    examples: int | None = None,
    held_out: float = 0.1,
    seed: int = 0,
    classes: int | None = None,
) -> Data:
    """The data set `name`, one of NAMES, from the folder `path` if it lies on disk.

    Images are of `size` x `size` pixels (by default as published, and for `folder` 224). `examples` limits the training
    examples, held-out ones included, and the test examples to as many; a share `held_out` of the former is for
    choosing by. Only the first `classes` classes are kept. `seed` draws the examples and the held-out ones, and makes
    the procedural sets.

    Raises:
        InvalidInput: there is no such set, a number makes no sense, or nothing is at `path`; says what to put there.
        InvalidFile: a file is truncated or not of the set's format.
    """
    if name not in _LOADERS:
        raise InvalidInput(f"there is no data set {name!r}; there are {', '.join(NAMES)}")
    if size is not None and size < 1:
        raise InvalidInput(f"size is a number of pixels, at least 1, and not {size}")
    if examples is not None and examples < 1:
        raise InvalidInput(f"examples is a number of images, at least 1, and not {examples}")
    train, test, known = _LOADERS[name](None if path is None else Path(path), size, examples, seed)
    return assemble(name, train, test, examples=examples, held_out=held_out, seed=seed, classes=classes, **known)


_Loaded = tuple[Split, Split, dict[str, Any]]


def _digits(path: Path | None, size: int | None, examples: int | None, seed: int) -> _Loaded:
    return *digits.digits(size or digits.SIZE), {"flip": False}


def _procedural(classes: int) -> Callable[..., _Loaded]:
    def made(path: Path | None, size: int | None, examples: int | None, seed: int) -> _Loaded:
        train = examples or procedural.TRAIN
        test = min(train, procedural.TEST)
        return *procedural.procedural(classes, size or procedural.SIZE, train, test, seed), {}

    return made


def _cifar(classes: int) -> Callable[..., _Loaded]:
    def read(path: Path | None, size: int | None, examples: int | None, seed: int) -> _Loaded:
        train, test = cifar.cifar(classes, path)
        return train.resized(size or cifar.SIZE), test.resized(size or cifar.SIZE), {}

    return read


def _tiny_imagenet(path: Path | None, size: int | None, examples: int | None, seed: int) -> _Loaded:
    return *tiny_imagenet.tiny_imagenet(path, size or tiny_imagenet.SIZE), {"norm": folder.NORM}


def _folder(path: Path | None, size: int | None, examples: int | None, seed: int) -> _Loaded:
    return *folder.folder(path, size or folder.SIZE), {"norm": folder.NORM}


_LOADERS: dict[str, Callable[..., _Loaded]] = {
    "digits": _digits,
    "procedural10": _procedural(10),
    "procedural100": _procedural(100),
    "cifar10": _cifar(10),
    "cifar100": _cifar(100),
    "tiny-imagenet": _tiny_imagenet,
    "folder": _folder,
}
#: Every name that `load` knows.
NAMES = tuple(_LOADERS)
