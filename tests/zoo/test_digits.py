"""The shipped digits: what the files hold, and that the shipped weights are as good as the README says."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from tacit.zoo import digits

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_shapes_and_pixel_range() -> None:
    data = digits.load()
    assert data.test_images.shape == (500, 8, 8)
    assert data.calibration_images.shape == (100, 8, 8)
    assert data.test_images.dtype == data.calibration_images.dtype == np.uint8
    assert data.test_images.max() == 16
    assert np.bincount(data.test_labels).tolist() == [50, 51, 49, 51, 50, 51, 50, 50, 48, 50]


def test_no_test_image_is_used_for_calibration() -> None:
    data = digits.load()
    test = {image.tobytes() for image in data.test_images}
    assert not any(image.tobytes() in test for image in data.calibration_images)


def test_preprocess_is_exact() -> None:
    inputs = digits.preprocess(digits.load().test_images)
    assert inputs.shape == (500, 1, 8, 8)
    assert inputs.min() == 0
    assert inputs.max() == 1
    assert np.array_equal(inputs[:, 0] * 16, digits.load().test_images)


def test_weights_classify_the_test_images_within_range(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    definition = importlib.import_module("digits_model")
    model = definition.build_model(str(digits.weights()))
    largest: list[float] = []
    for module in model.modules():
        if isinstance(module, definition.Quartic):
            module.register_forward_pre_hook(lambda _, args: largest.append(args[0].abs().max().item()))
    data = digits.load()
    with torch.no_grad():
        logits = model(torch.from_numpy(digits.preprocess(data.test_images)).float())
    assert (logits.argmax(1).numpy() == data.test_labels).mean() >= 0.99
    assert len(largest) == 4
    assert max(largest) < 6


def test_the_network_of_relu_and_max_pool_classifies_the_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    model = importlib.import_module("digits_model").build_model(str(digits.weights("relu")), "relu")
    data = digits.load()
    with torch.no_grad():
        logits = model(torch.from_numpy(digits.preprocess(data.test_images)).float())
    assert (logits.argmax(1).numpy() == data.test_labels).mean() >= 0.99
