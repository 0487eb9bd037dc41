"""scikit-learn's digits: 1,797 scanned digits of 8 x 8 pixels, which come with that package (no download)."""

from __future__ import annotations

import torch

from tacit.codesign.data.sets import Images, Subset, balanced
from tacit.errors import InvalidInput

__all__ = ["digits"]

CLASSES, SIZE = 10, 8
#: Share of the examples that are for testing, drawn in a fixed way.
_TEST = 0.25


def digits(size: int = SIZE) -> tuple[Subset, Subset]:
    """The training and the test split, (1, size, size) each; the same on every call.

    Raises:
        InvalidInput: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise InvalidInput("the digits come with scikit-learn, which is not installed; install tacit[train]") from error
    found = load_digits()
    pixels = torch.from_numpy(found.images).mul(255 / 16).round().to(torch.uint8).unsqueeze(1)
    images = Images(pixels, torch.from_numpy(found.target).to(torch.int64), CLASSES).resized(size)
    test, train = balanced(images.labels, round(_TEST * len(images)), seed=0)
    return Subset(images, train), Subset(images, test)
