"""Tacit: private inference for deep networks. The client's input stays with the client, the weights with the owner.

plan = tacit.compile(model, example, calibration=batches)      # owner: a PyTorch or ONNX model becomes a Plan
print(plan.bill("wan"))                                        # what it costs, before it runs
tacit.simulate(plan, x)                                        # every party in one process
tacit.serve(plan, home="server", dealer="tacit://host:7071")   # for real
tacit.connect("tacit://host:7070", home="client", dealer="tacit://host:7071").predict(x)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tacit.errors import TacitError
    from tacit.front.compile import compile_model as compile  # noqa: A004
    from tacit.plan.plan import Plan
    from tacit.plan.policy import ClientPolicy, Policy
    from tacit.plan.save import load_plan as load
    from tacit.run.simulate import simulate
    from tacit.service.api import connect, deal, serve

__version__ = "0.1.0"
__all__ = [
    "ClientPolicy",
    "Plan",
    "Policy",
    "TacitError",
    "__version__",
    "compile",
    "connect",
    "deal",
    "load",
    "serve",
    "simulate",
]

_WHERE = {
    "ClientPolicy": ("tacit.plan.policy", "ClientPolicy"),
    "Plan": ("tacit.plan.plan", "Plan"),
    "Policy": ("tacit.plan.policy", "Policy"),
    "TacitError": ("tacit.errors", "TacitError"),
    "compile": ("tacit.front.compile", "compile_model"),
    "connect": ("tacit.service.api", "connect"),
    "deal": ("tacit.service.api", "deal"),
    "load": ("tacit.plan.save", "load_plan"),
    "serve": ("tacit.service.api", "serve"),
    "simulate": ("tacit.run.simulate", "simulate"),
}


def __getattr__(name: str) -> Any:
    """Public names load on first use, so that `import tacit` stays quick and a client never loads an importer."""
    if name not in _WHERE:
        raise AttributeError(f"module 'tacit' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)
