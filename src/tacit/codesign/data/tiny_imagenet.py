"""Tiny-ImageNet (Stanford CS231N): 200 classes of 64 x 64 pixels, as its archive unpacks."""

from __future__ import annotations

from pathlib import Path

import torch

from tacit.codesign.data.folder import Files, images_in
from tacit.errors import InvalidFile, InvalidInput

__all__ = ["SIZE", "tiny_imagenet"]

SIZE = 64
_FOLDER, _IDS, _LABELS = "tiny-imagenet-200", "wnids.txt", "val/val_annotations.txt"


def tiny_imagenet(path: Path | None, size: int) -> tuple[Files, Files]:
    """The training split, and as the test split the validation images, since the test images have no labels.

    `path` is the unpacked folder tiny-imagenet-200, or the folder it lies in. Classes are in the order of wnids.txt.

    Raises:
        InvalidInput: it is not there; says what to download and where to unpack it.
        InvalidFile: a file is missing or not of the format.
    """
    found = [root for root in (() if path is None else (path / _FOLDER, path)) if (root / _IDS).is_file()]
    if not found:
        where = "Tiny-ImageNet is not part of Tacit" if path is None else f"{path} does not hold Tiny-ImageNet"
        raise InvalidInput(
            f"{where}: download http://cs231n.stanford.edu/tiny-imagenet-200.zip, unpack it, and give the folder that "
            "you unpacked it in as the path"
        )
    root = found[0]
    ids = _lines(root / _IDS)
    numbers = {name: number for number, name in enumerate(ids)}
    if len(numbers) != len(ids) or len(ids) < 2:
        raise InvalidFile(f"{root / _IDS} names a class twice, or fewer than 2; unpack the archive again")
    train: list[tuple[str, int]] = []
    for name, number in numbers.items():
        images = images_in(root / "train" / name / "images")
        if not images:
            raise InvalidFile(f"{root / 'train' / name / 'images'} holds no images; unpack the archive again")
        train += [(image, number) for image in images]
    return _files(train, len(ids), size), _files(_annotated(root, numbers), len(ids), size)


def _annotated(root: Path, numbers: dict[str, int]) -> list[tuple[str, int]]:
    """Path and label of each validation image."""
    listed = []
    for place, line in enumerate(_lines(root / _LABELS), 1):
        name, _, rest = line.partition("\t")
        number = numbers.get(rest.partition("\t")[0])
        if number is None or Path(name).name != name:
            raise InvalidFile(
                f"{root / _LABELS}, line {place}, is not a file's name and a class; unpack the archive again"
            )
        listed.append((str(root / "val" / "images" / name), number))
    if not listed:
        raise InvalidFile(f"{root / _LABELS} is empty; unpack the archive again")
    return listed


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(f"{path} is missing or no text; unpack the archive again") from error


def _files(listed: list[tuple[str, int]], classes: int, size: int) -> Files:
    paths, labels = zip(*listed, strict=True)
    return Files(paths, torch.tensor(labels, dtype=torch.int64), classes, size)
