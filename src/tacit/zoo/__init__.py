"""Models that ship: `nets` are published architectures, one file each; `digits` and `diagnosis` are trained.

Nets are written in PyTorch, which is imported when one is loaded and not before: listing them needs no torch.
"""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.resources import files
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from tacit.errors import InvalidInput

if TYPE_CHECKING:
    from tacit.zoo.net import Net

__all__ = ["describe", "load", "names"]

_NETS = "tacit.zoo.nets"


def names() -> list[str]:
    """The nets that there are, sorted: every module of `nets` without a leading underscore."""
    found = iter_modules([str(files("tacit").joinpath("zoo", "nets"))])
    return sorted(module.name for module in found if not module.name.startswith("_"))


def describe(name: str) -> str:
    """What the net is and its paper, in one sentence, read without importing it. Raises InvalidInput."""
    _check(name)
    source = files("tacit").joinpath("zoo", "nets", f"{name}.py").read_text("utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n\n")[0].replace("\n", " ")


def load(name: str) -> Net:
    """The net called `name`. Raises InvalidInput if there is none, or if torch is not installed."""
    _check(name)
    try:
        net: Net = import_module(f"{_NETS}.{name}").NET
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torch":
            raise
        raise InvalidInput(f"the net {name} is written in PyTorch, which is not installed; install torch") from error
    return net


def _check(name: str) -> None:
    if name not in names():
        raise InvalidInput(f"there is no net {name!r} in the zoo; there are {', '.join(names())}")
