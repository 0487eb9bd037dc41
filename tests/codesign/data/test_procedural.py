"""The procedural sets: the same everywhere, balanced, independent of how many are made, and learnable."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from tacit.codesign import load_data
from tacit.codesign.data.procedural import procedural, render
from tacit.codesign.data.shapes import SHAPES, TEXTURES, triangle_wave
from tacit.errors import InvalidInput

#: SHA-256 of the first 40 training images of 16 x 16 with seed 3; a change of it changes every result.
DIGESTS = {
    10: "9e7c6b31ab8a16a09e90f40a8cb4e27d24e7b246541e5eaf2a2bc13af616a329",
    100: "d0f09dd35b5774faab055c9496e433f0cf8edfc42f5c94a47f5e8d619523a48c",
}


@pytest.mark.parametrize("classes", [10, 100])
def test_the_same_on_every_machine(classes: int) -> None:
    pixels, labels = render(classes, 16, 40, 3, 0)
    assert hashlib.sha256(pixels.tobytes() + labels.astype("<i8").tobytes()).hexdigest() == DIGESTS[classes]


def test_an_image_depends_on_its_place_alone() -> None:
    whole, labels = render(10, 9, 300, 5, 1)
    part, of_part = render(10, 9, 50, 5, 1, first=210)
    assert np.array_equal(part, whole[210:260])
    assert np.array_equal(of_part, labels[210:260])


def test_splits_and_seeds_differ() -> None:
    ours, other_split, other_seed = (render(10, 8, 20, *where)[0] for where in ((1, 0), (1, 1), (2, 0)))
    assert not np.array_equal(ours, other_split)
    assert not np.array_equal(ours, other_seed)


def test_sizes_show_the_same_scene() -> None:
    fine = render(10, 64, 30, 0, 0)[0].astype(np.float64)
    coarse = render(10, 16, 30, 0, 0)[0].astype(np.float64)
    shrunk = fine.reshape(30, 3, 16, 4, 16, 4).mean((3, 5))
    same, other = np.abs(shrunk - coarse).mean(), np.abs(shrunk - np.roll(coarse, 10, 0)).mean()
    assert same < 0.35 * other


def test_classes_in_equal_numbers() -> None:
    train, test = procedural(100, 8, 400, 200, 0)
    assert torch.bincount(train.labels).tolist() == [4] * 100
    assert torch.bincount(test.labels).tolist() == [2] * 100
    assert train.shape == (3, 8, 8)


def test_shapes_and_textures_differ() -> None:
    steps = np.linspace(-1, 1, 64, dtype=np.float32)
    v, u = np.meshgrid(steps, steps, indexing="ij")
    for functions, cut in ((SHAPES, 0.0), (TEXTURES, 0.5)):
        planes = [(f(np.float32(1.3) * u, np.float32(1.3) * v) > cut).astype(np.int64) for f in functions]
        plain = [i for i, f in enumerate(functions) if not f(u, v).any()]
        assert len(plain) <= 1
        for first in range(len(functions)):
            for second in range(first):
                assert (planes[first] != planes[second]).mean() > 0.04, (first, second)


def test_shapes_lie_inside_the_object() -> None:
    steps = np.linspace(-3, 3, 101, dtype=np.float32)
    v, u = np.meshgrid(steps, steps, indexing="ij")
    for shape in SHAPES:
        inside = shape(u, v) > 0
        assert inside.any()
        assert np.sqrt(u * u + v * v)[inside].max() < 1.45


def test_triangle_wave() -> None:
    assert triangle_wave(np.array([-1, -0.5, 0, 0.25, 0.5, 1], np.float32)).tolist() == [1, 0, 1, 0.5, 0, 1]


def test_by_name() -> None:
    data = load_data("procedural100", size=8, examples=300, held_out=0.5)
    assert (data.classes, data.shape, len(data.train), len(data.test)) == (100, (3, 8, 8), 150, 300)


@pytest.mark.parametrize(("options", "says"), [({"size": 4}, "8 ... 512"), ({"seed": -1}, "seed")])
def test_bad_numbers(options: dict[str, int], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        load_data("procedural10", examples=10, **options)
