"""Structure: what a model is beside its weights, as text, so that models of the same weights can be told apart."""

from __future__ import annotations

import hashlib

from torch import Tensor, fx, nn

from tacit.codesign.activations.poly import PolyAct

__all__ = ["structure"]


def structure(model: nn.Module) -> str:
    """SHA-256 (hex) of the kind and the public settings of every module of `model`, by name.

    Settings are what PyTorch's layers show, and a polynomial's coefficients, range and scale if that is a number. What
    a module of another origin holds beside its parameters, buffers and children is not seen.
    """
    parts = [f"{name}: {_kind(module)}({_settings(module)})" for name, module in model.named_modules()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _kind(module: nn.Module) -> str:
    return "GraphModule" if isinstance(module, fx.GraphModule) else type(module).__name__


def _settings(module: nn.Module) -> str:
    if isinstance(module, PolyAct):
        polynomial, scale = module.polynomial, module.scale
        public = None if isinstance(scale, Tensor) else scale
        return repr((polynomial.numerators, polynomial.bits, polynomial.interval, public, module.clip, module.tail))
    return module.extra_repr() if type(module).__module__.startswith(("torch.nn.", "tacit.")) else ""
