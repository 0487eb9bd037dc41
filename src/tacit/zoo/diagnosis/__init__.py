"""Breast cancer diagnosis from thirty measurements: test samples with labels, calibration samples, weights, plans."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load as load_arrays

__all__ = ["CLASSES", "MEASUREMENTS", "Diagnosis", "load", "plan", "weights"]

#: What the labels 0 and 1 mean.
CLASSES = ("malignant", "benign")

_FEATURES = (
    *("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points"),
    *("symmetry", "fractal dimension"),
)
#: The columns, in the table's own units (the README of this folder says which).
MEASUREMENTS = tuple(f"{kind} {feature}" for kind in ("mean", "error of", "worst") for feature in _FEATURES)


@dataclass(frozen=True)
class Diagnosis:
    """What is shipped: raw measurements in the order and units of `MEASUREMENTS`.

    `test_measurements` float32 [143, 30] and `test_labels` uint8 [143] were kept out of training;
    `calibration_measurements` float32 [100, 30] are a part of what the network was trained on, to observe ranges on.
    """

    test_measurements: npt.NDArray[np.float32]
    test_labels: npt.NDArray[np.uint8]
    calibration_measurements: npt.NDArray[np.float32]


def load() -> Diagnosis:
    """Read the shipped samples and labels."""
    return Diagnosis(**load_arrays(files(__name__).joinpath("data.safetensors").read_bytes()))


def weights() -> Traversable:
    """The safetensors file of the weights of `examples/diagnosis_model.py`."""
    return files(__name__).joinpath("weights.safetensors")


def plan(*, label: bool = False, public: bool = False) -> Traversable:
    """The shipped plan of one sample a run: the owner's with weights, or the public half.

    With `label` the client learns the diagnosis alone, not the two scores.
    """
    name = "label" if label else "diagnosis"
    return files(__name__).joinpath(f"{name}.public.tacit" if public else f"{name}.tacit")
