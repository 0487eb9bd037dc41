"""Co-design: training that makes a network cheap to run privately. Needs the extra `train` (PyTorch).

data = codesign.load_data("procedural10", size=16, examples=5000)     # or cifar10, a folder of images ...
outcome = codesign.train(model, data, codesign.Recipe(epochs=20, lr=0.05), folder="runs/relu")
print(outcome.test.top1)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tacit.errors import InvalidInput

if TYPE_CHECKING:
    from tacit.codesign.activations.fit import Polynomial, fit
    from tacit.codesign.activations.poly import PolyAct
    from tacit.codesign.activations.stochastic import StochasticReLU, stochastic
    from tacit.codesign.conversion import Conversion, convert
    from tacit.codesign.data import load as load_data
    from tacit.codesign.data.sets import Data
    from tacit.codesign.training.evaluate import Scores, evaluate
    from tacit.codesign.training.loop import Outcome, train
    from tacit.codesign.training.objective import CrossEntropy, Objective
    from tacit.codesign.training.recipe import Recipe

__all__ = [
    "Conversion",
    "CrossEntropy",
    "Data",
    "Objective",
    "Outcome",
    "PolyAct",
    "Polynomial",
    "Recipe",
    "Scores",
    "StochasticReLU",
    "convert",
    "evaluate",
    "fit",
    "load_data",
    "stochastic",
    "train",
]

_WHERE = {
    "Conversion": ("conversion", "Conversion"),
    "PolyAct": ("activations.poly", "PolyAct"),
    "Polynomial": ("activations.fit", "Polynomial"),
    "StochasticReLU": ("activations.stochastic", "StochasticReLU"),
    "convert": ("conversion", "convert"),
    "fit": ("activations.fit", "fit"),
    "stochastic": ("activations.stochastic", "stochastic"),
    "CrossEntropy": ("training.objective", "CrossEntropy"),
    "Data": ("data.sets", "Data"),
    "Objective": ("training.objective", "Objective"),
    "Outcome": ("training.loop", "Outcome"),
    "Recipe": ("training.recipe", "Recipe"),
    "Scores": ("training.evaluate", "Scores"),
    "evaluate": ("training.evaluate", "evaluate"),
    "load_data": ("data", "load"),
    "train": ("training.loop", "train"),
}


def __getattr__(name: str) -> Any:
    """Public names load on first use: what needs PyTorch is imported when it is wanted."""
    if name not in _WHERE:
        raise AttributeError(f"module 'tacit.codesign' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    try:
        return getattr(import_module(f"tacit.codesign.{module}"), attribute)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "tacit":
            raise
        raise InvalidInput(f"co-design needs {missing}, which is not installed; install tacit[train]") from error
