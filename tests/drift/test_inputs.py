"""Preprocessing assertions: each names what was done to the pictures, and says nothing where all is well."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tacit.drift.inputs import check_input

from .nets import Array, pictures

X = pictures(3, 6).repeat(2, 2).repeat(2, 3)
X = (X + np.roll(X, 1, 2) + np.roll(X, 1, 3)) / 3


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (lambda x: x, []), (lambda x: x + 1e-7, []), (lambda x: x.transpose(0, 2, 3, 1), ["layout"]),
        (lambda x: x[:, ::-1], ["channel order"]), (lambda x: x[:, [1, 2, 0]], ["channel order"]),
        (lambda x: np.rot90(x, 1, (2, 3)), ["orientation"]), (lambda x: x[:, :, ::-1], ["orientation"]),
        (lambda x: x.swapaxes(2, 3), ["orientation"]), (lambda x: 255 * x, ["normalisation"]),
        (lambda x: x * np.array([2, 3, 4.0])[:, None, None] - 1, ["normalisation"]),
        (lambda x: 2 * x[:, ::-1], ["channel order", "normalisation"]),
        (lambda x: x.transpose(0, 2, 3, 1)[..., ::-1], ["layout", "channel order"]),
        (lambda x: np.round(20 * x) / 20, ["dtype"]), (lambda x: x[:, :, 2:-2, 2:-2], ["resize"]),
        (lambda x: (x + np.roll(x, 1, 3)) / 2, ["resize"]), (lambda x: x[:, :2], ["shape"]),
        (lambda x: np.random.default_rng(0).normal(size=x.shape), ["unknown"]),
    ],
)  # fmt: skip
def test_each_change_is_told(change: Callable[[Array], Array], kinds: list[str]) -> None:
    found = check_input(np.asarray(change(X)), X)
    assert [a.kind for a in found] == kinds
    assert all(a.what and a.fix for a in found)


def test_a_table_is_no_picture() -> None:
    x = np.random.default_rng(1).normal(size=(20, 5))
    assert check_input(x, x) == []
    assert [a.kind for a in check_input(x / 3 + 1, x)] == ["normalisation"]
    assert [a.kind for a in check_input(x[:, ::-1], x)] == ["unknown"]
