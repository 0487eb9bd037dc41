"""Folders of images, one for each class, as ImageNet is laid out: read with Pillow when they are wanted, by threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tacit.codesign.data.sets import Shape, Split, Subset, as_indices, balanced, check_labels
from tacit.errors import InvalidFile, InvalidInput

__all__ = ["NORM", "SIZE", "Files", "folder", "images_in", "read_image"]

SIZE = 224
#: Mean and deviation of ImageNet's training images, which pretrained models expect (torchvision).
NORM = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_KINDS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff", ".gif"})
_TESTS = ("test", "val", "validation")
#: Share that is for testing where the folder does not say.
_TEST = 0.1
#: A split of at most so many bytes stays in memory once it was read.
_KEPT = 2 << 30


class Files:
    """A split of image files: the shorter side is brought to `size` pixels and the middle square is cut out.

    Each batch is decoded by several threads; a split that fits in 2 GiB is decoded once. Raises InvalidInput for labels
    that are out of range.
    """

    def __init__(self, paths: Sequence[str | Path], labels: Tensor, classes: int, size: int) -> None:
        check_labels(labels, classes)
        assert len(paths) == len(labels), (len(paths), len(labels))
        self.paths, self.labels, self.classes, self.size = tuple(map(str, paths)), labels, classes, size
        self._threads = min(8, len(os.sched_getaffinity(0)))
        keep = len(paths) * 3 * size * size <= _KEPT
        self._kept = torch.empty((len(paths), *self.shape), dtype=torch.uint8) if keep else None
        self._known = np.zeros(len(paths), bool)

    @property
    def shape(self) -> Shape:
        """(3, size, size)."""
        return 3, self.size, self.size

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, indices: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        """See Split.

        Raises:
            InvalidFile: a file is no image, or damaged; names it.
        """
        chosen = as_indices(indices)
        with ThreadPoolExecutor(self._threads, thread_name_prefix="images") as readers:
            pixels = list(readers.map(self._image, chosen.tolist()))
        images = torch.stack(pixels) if pixels else torch.empty((0, *self.shape), dtype=torch.uint8)
        return images.to(torch.float32).div_(255), self.labels[chosen]

    def _image(self, place: int) -> Tensor:
        if self._kept is None:
            return read_image(self.paths[place], self.size)
        if not self._known[place]:
            self._kept[place] = read_image(self.paths[place], self.size)
            self._known[place] = True
        return self._kept[place]


def read_image(path: str | Path, size: int) -> Tensor:
    """An image file as RGB, uint8 of (3, size, size).

    Raises:
        InvalidFile: it is no image, or damaged.
        InvalidInput: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise InvalidInput("image files are read with Pillow, which is not installed; install tacit[train]") from error
    try:
        with Image.open(path) as file:
            file.draft("RGB", (size, size))  # a JPEG is decoded at the coarsest scale that suffices
            image = file.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidFile(f"{path} is no image that can be read, or it is damaged; delete or replace it") from error
    if min(image.size) != size:
        scale = size / min(image.size)
        sides = tuple(max(size, round(side * scale)) for side in image.size)
        image = image.resize(sides, Image.Resampling.BILINEAR)
    left, top = ((side - size) // 2 for side in image.size)
    pixels = np.asarray(image.crop((left, top, left + size, top + size)))
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def folder(path: Path | None, size: int) -> tuple[Split, Split]:
    """The training and the test split of the folder `path`; classes are its sub-folders' names, sorted.

    It holds `train/CLASS/*.jpg` and `test/`, `val/` or `validation/` (the first that there is) likewise, or only the
    classes' folders: then a tenth of the images, drawn in a fixed way, is for testing.

    Raises:
        InvalidInput: there is no such folder, or it is laid out otherwise.
    """
    if path is None or not path.is_dir():
        raise InvalidInput(
            f"there is no folder {path}: give one that holds train/CLASS/*.jpg and val/CLASS/*.jpg"
            if path is not None
            else "give the folder of images as the path: it holds train/CLASS/*.jpg and val/CLASS/*.jpg"
        )
    if not (path / "train").is_dir():
        whole = _split(path, _classes(path), size)
        test, train = balanced(whole.labels, round(_TEST * len(whole)), seed=0)
        return Subset(whole, train), Subset(whole, test)
    classes = _classes(path / "train")
    tests = [path / name for name in _TESTS if any(_folders(path / name))]
    if not tests:
        raise InvalidInput(f"{path} has no test/CLASS or val/CLASS folders; sort the test images into classes there")
    if strange := sorted(set(_folders(tests[0])) - set(classes)):
        raise InvalidInput(
            f"{tests[0]} has the class {strange[0]!r}, which {path / 'train'} has not; move or rename it"
        )
    return _split(path / "train", classes, size), _split(tests[0], classes, size)


def _folders(path: Path) -> list[str]:
    """Names of the folders in a folder, sorted; none if it does not exist."""
    if not path.is_dir():
        return []
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _classes(path: Path) -> list[str]:
    names = _folders(path)
    if len(names) < 2:
        raise InvalidInput(f"{path} has {len(names)} folders, and every class is one: there must be 2 or more")
    return names


def _split(path: Path, classes: list[str], size: int) -> Files:
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = images_in(path / name)
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise InvalidInput(f"the classes' folders in {path} hold no images ({', '.join(sorted(_KINDS))})")
    return Files(paths, torch.tensor(labels, dtype=torch.int64), len(classes), size)


def images_in(path: Path) -> list[str]:
    """The image files in a folder, by their endings, sorted; none if it does not exist."""
    if not path.is_dir():
        return []
    with os.scandir(path) as entries:
        return sorted(entry.path for entry in entries if os.path.splitext(entry.name)[1].lower() in _KINDS)
