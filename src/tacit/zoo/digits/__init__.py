"""Handwritten digits of 8x8 pixels: test images with labels, calibration images, weights and plans."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load as load_arrays

__all__ = ["Digits", "load", "plan", "preprocess", "weights"]


@dataclass(frozen=True)
class Digits:
    """What is shipped, as pixels 0..16.

    `test_images` uint8 [500, 8, 8] and `test_labels` uint8 [500] were kept out of training; `calibration_images`
    uint8 [100, 8, 8] are a part of what the network was trained on, to measure ranges with.
    """

    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.uint8]
    calibration_images: npt.NDArray[np.uint8]


def load() -> Digits:
    """Read the shipped images and labels."""
    return Digits(**load_arrays(files(__name__).joinpath("data.safetensors").read_bytes()))


def preprocess(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Turn pixels uint8 [N, 8, 8] into the network's input, float64 [N, 1, 8, 8] between 0 and 1; exact."""
    return images.astype(np.float64)[:, None] / 16


def weights(net: str = "digits") -> Traversable:
    """The safetensors file of a network of `examples/digits_model.py`: "digits" (quartics) or "relu"."""
    return files(__name__).joinpath({"digits": "weights.safetensors", "relu": "relu_weights.safetensors"}[net])


def plan(net: str = "digits", *, public: bool = False) -> Traversable:
    """The shipped plan of 25 images a run of the same networks: the owner's with weights, or the public half."""
    return files(__name__).joinpath(f"{net}.public.tacit" if public else f"{net}.tacit")
