"""Augmentation against shifting by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tacit.codesign.data.augment import augment


def candidates(image: np.ndarray, pad: int, flip: bool) -> list[np.ndarray]:
    """Every image that augmentation may give."""
    height, width = image.shape[1:]
    padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)))
    crops = [
        padded[:, top : top + height, left : left + width] for top in range(2 * pad + 1) for left in range(2 * pad + 1)
    ]
    return crops + [crop[:, :, ::-1] for crop in crops if flip]


@pytest.mark.parametrize(("pad", "flip"), [(0, False), (1, True), (2, False)])
def test_every_image_is_a_shift_and_all_occur(pad: int, flip: bool) -> None:
    image = np.random.default_rng(1).random((2, 5, 4), np.float32)
    given = torch.from_numpy(image).expand(600, -1, -1, -1)
    found = augment(given, torch.Generator().manual_seed(3), pad=pad, flip=flip).numpy()
    allowed = candidates(image, pad, flip)
    counts = [sum(np.array_equal(one, candidate) for one in found) for candidate in allowed]
    assert sum(counts) == len(found)
    assert min(counts) > 0


def test_the_generator_decides() -> None:
    x = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    first, again = (augment(x, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, augment(x, torch.Generator().manual_seed(5)))
    assert first.is_contiguous()
