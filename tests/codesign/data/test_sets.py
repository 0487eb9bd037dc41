"""Splits, data sets and their limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tacit.codesign import load_data
from tacit.codesign.data.batches import batches
from tacit.codesign.data.sets import Data, Images, Split, Subset, assemble, balanced, statistics
from tacit.errors import InvalidInput


def made(count: int, classes: int = 3, channels: int = 2, size: int = 4, seed: int = 0) -> Images:
    """Random images whose labels go round."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, channels, size, size), dtype=np.uint8)
    return Images(torch.from_numpy(pixels), torch.arange(count) % classes, classes)


def test_batches_are_the_pixels_over_255() -> None:
    images = made(7)
    x, y = images.batch([5, 0])
    assert x.dtype == torch.float32
    assert np.array_equal(x.numpy(), images.pixels[[5, 0]].numpy().astype(np.float32) / np.float32(255))
    assert y.tolist() == [2, 0]
    assert images.shape == (2, 4, 4)
    assert isinstance(images, Split)
    part = Subset(images, torch.tensor([6, 1, 3]))
    assert part.labels.tolist() == [0, 1, 0]
    assert torch.equal(part.batch([2])[0], images.batch([3])[0])


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_out_of_range(label: int) -> None:
    labels = torch.tensor([0, 1, 2, label])
    with pytest.raises(InvalidInput, match=rf"label {label} of example 3 is out of range: with 3 classes"):
        Images(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), labels, 3)
    with pytest.raises(InvalidInput, match="example 2 is out of range"):
        Subset(made(9, classes=3), torch.tensor([0, 1, 5]), 2)


@pytest.mark.parametrize(
    ("pixels", "labels", "says"),
    [
        (torch.zeros(2, 1, 2, 2), torch.zeros(2, dtype=torch.int64), "uint8"),
        (torch.zeros(2, 2, 2, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), "uint8"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), "labels of"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(2), "int64"),
    ],
)
def test_other_types_and_shapes(pixels: torch.Tensor, labels: torch.Tensor, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Images(pixels, labels, 3)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 60), st.integers(0, 3))
def test_balanced_keeps_the_proportions(labels: list[int], count: int, seed: int) -> None:
    of_all = torch.tensor(labels)
    chosen, rest = balanced(of_all, count, seed)
    assert sorted([*chosen.tolist(), *rest.tolist()]) == list(range(len(labels)))
    assert len(chosen) == min(count, len(labels))
    for label in set(labels):
        share = labels.count(label) * len(chosen) / len(labels)
        assert abs(int((of_all[chosen] == label).sum()) - share) < 1
    assert torch.equal(chosen, balanced(of_all, count, seed)[0])


def test_assemble_limits_and_holds_out() -> None:
    data = assemble("made", made(300), made(90), examples=60, held_out=0.25, seed=1)
    assert (len(data.train), len(data.held_out), len(data.test)) == (45, 15, 60)
    assert torch.bincount(data.held_out.labels).tolist() == [5, 5, 5]
    two = assemble("made", made(300), made(90), classes=2)
    assert two.classes == 2
    assert sorted(two.test.labels.unique().tolist()) == [0, 1]
    assert len(two.test) == 60
    other = assemble("made", made(300), made(90), examples=60, held_out=0.25, seed=2)
    assert not torch.equal(other.train.batch(range(45))[0], data.train.batch(range(45))[0])


def test_held_out_examples_are_not_trained_on() -> None:
    data = assemble("made", made(60), made(30), held_out=0.5)
    seen = {tuple(x.reshape(-1).tolist()) for x in data.train.batch(range(30))[0]}
    assert not seen & {tuple(x.reshape(-1).tolist()) for x in data.held_out.batch(range(30))[0]}


def test_statistics_are_those_of_all_pixels() -> None:
    images = made(50)
    mean, std = statistics(images)
    values = images.pixels.numpy() / 255.0
    assert np.allclose(mean, values.mean((0, 2, 3)))
    assert np.allclose(std, values.std((0, 2, 3)))
    flat = Images(torch.full((3, 1, 2, 2), 51, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), 1)
    assert np.allclose(statistics(flat), [[0.2], [1.0]])


def test_normalised_training_data_has_mean_0_and_deviation_1() -> None:
    data = assemble("made", made(200), made(10))
    x = data.normalise(data.train.batch(range(len(data.train)))[0])
    assert torch.allclose(x.mean((0, 2, 3)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(x.std((0, 2, 3)), torch.ones(2), atol=1e-3)


def test_resized_images() -> None:
    constant = Images(torch.full((2, 3, 8, 8), 77, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), 2)
    assert constant.resized(8) is constant
    assert constant.resized(5).pixels.unique().tolist() == [77]
    halves = Images(torch.tensor([[0, 0, 200, 200]] * 4).to(torch.uint8)[None, None], torch.tensor([0]), 1).resized(2)
    left, right = halves.pixels[0, 0, 0].tolist()
    assert left < 60 < 140 < right


def test_no_data() -> None:
    with pytest.raises(InvalidInput, match="no training examples"):
        assemble("made", made(0), made(5))
    with pytest.raises(InvalidInput, match="no training examples"):
        Data("made", made(0), made(1), made(1), (0.0, 0.0), (1.0, 1.0))


@dataclass
class Own:
    """A split that somebody wrote, which checks nothing."""

    labels: torch.Tensor
    classes: int = 4
    shape: tuple[int, int, int] = (2, 4, 4)
    count: int = 4

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(len(indices), *self.shape), self.labels[indices]


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (torch.tensor([0, 1, 4, 2]), "label 4 of example 2 is out of range"),
        (torch.tensor([0, -1, 3, 2]), "label -1 of example 1 is out of range"),
        (torch.tensor([0, 1, 2]), "4 examples and labels of"),
        (torch.tensor([[0], [1], [2], [3]]), "4 examples and labels of"),
        (torch.tensor([0.0, 1.0, 2.0, 3.0]), "labels are int64"),
    ],
)
def test_labels_of_splits_of_ones_own(place: int, labels: torch.Tensor, says: str) -> None:
    good = Own(torch.arange(4))
    splits = [Own(labels) if i == place else good for i in range(3)]
    with pytest.raises(InvalidInput, match=says):
        Data("made", *splits, (0.0, 0.0), (1.0, 1.0))


def test_splits_must_agree() -> None:
    with pytest.raises(InvalidInput, match=r"test split of made has images of \(2, 4, 4\) in 4 classes"):
        Data("made", made(4), made(4), made(4, classes=4), (0.0, 0.0), (1.0, 1.0))
    with pytest.raises(InvalidInput, match="2 channels"):
        Data("made", made(4), made(4), made(4), (0.0,), (1.0, 1.0))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"held_out": 1.0}, "held_out"),
        ({"held_out": -0.1}, "held_out"),
        ({"classes": 1}, "10 classes: keep 2"),
        ({"classes": 11}, "10 classes: keep 2"),
        ({"examples": 0}, "examples is a number"),
        ({"size": 0}, "size is a number"),
    ],
)
def test_numbers_that_make_no_sense(options: dict[str, float], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        load_data("digits", **options)


def test_digits() -> None:
    data = load_data("digits")
    assert (data.shape, data.classes, data.flip) == ((1, 8, 8), 10, False)
    assert len(data.train) + len(data.held_out) + len(data.test) == 1797
    assert load_data("digits", size=12, examples=50).shape == (1, 12, 12)


def test_unknown_name() -> None:
    with pytest.raises(InvalidInput, match="there is no data set 'mnist'; there are digits, procedural10"):
        load_data("mnist")


def test_batches_walk_the_order() -> None:
    images = made(10)
    order = torch.tensor([3, 1, 4, 1, 5, 9, 2])
    found = list(batches(images, order, 3))
    assert [len(y) for _, y in found] == [3, 3, 1]
    assert torch.equal(torch.cat([x for x, _ in found]), images.batch(order)[0])
    assert not list(batches(images, order[:0], 3))
    assert [y.tolist() for _, y in batches(images, [order[:2], order[4:5]])] == [[0, 1], [2]]


def test_reading_errors_come_in_turn() -> None:
    walk = batches(made(4), torch.tensor([0, 1, 99]), 1)
    assert len(next(walk)[1]) == 1
    assert len(next(walk)[1]) == 1
    with pytest.raises(IndexError):
        next(walk)
