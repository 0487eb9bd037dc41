"""Co-design: training that makes a network cheap to run privately. Needs the extra `train` (PyTorch).

data = codesign.load_data("procedural10", size=16, examples=5000)     # or cifar10, a folder of images ...
recipe = codesign.Recipe(epochs=20, lr=0.05)
outcome = codesign.train(model, data, recipe, folder="runs/relu")
tuned = codesign.fine_tune(outcome.model, data, codesign.short(recipe))      # polynomials in place of activations
tuned.certificate.require()                                                  # no input is out of their range
codesign.export(tuned.model, tuned.certificate, "net.tacit", data)           # the owner's plan
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
    from tacit.codesign.finetune import FineTuning, Tuned, fine_tune, fold, naive, short
    from tacit.codesign.frontier import Point, pareto, plot
    from tacit.codesign.pillar import RangePenalty, train_pillar
    from tacit.codesign.ranges import Certificate, certify, export
    from tacit.codesign.repeats import repeat
    from tacit.codesign.training.evaluate import Scores, evaluate
    from tacit.codesign.training.loop import Outcome, train
    from tacit.codesign.training.objective import CrossEntropy, Objective
    from tacit.codesign.training.recipe import Recipe

__all__ = [
    "Certificate",
    "Conversion",
    "CrossEntropy",
    "Data",
    "FineTuning",
    "Objective",
    "Outcome",
    "Point",
    "PolyAct",
    "Polynomial",
    "RangePenalty",
    "Recipe",
    "Scores",
    "StochasticReLU",
    "Tuned",
    "certify",
    "convert",
    "evaluate",
    "export",
    "fine_tune",
    "fit",
    "fold",
    "load_data",
    "naive",
    "pareto",
    "plot",
    "repeat",
    "short",
    "stochastic",
    "train",
    "train_pillar",
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
    "Certificate": ("ranges", "Certificate"),
    "FineTuning": ("finetune", "FineTuning"),
    "RangePenalty": ("pillar", "RangePenalty"),
    "Tuned": ("finetune", "Tuned"),
    "certify": ("ranges", "certify"),
    "export": ("ranges", "export"),
    "fine_tune": ("finetune", "fine_tune"),
    "fold": ("finetune", "fold"),
    "Point": ("frontier", "Point"),
    "naive": ("finetune", "naive"),
    "pareto": ("frontier", "pareto"),
    "plot": ("frontier", "plot"),
    "repeat": ("repeats", "repeat"),
    "short": ("finetune", "short"),
    "train_pillar": ("pillar", "train_pillar"),
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
