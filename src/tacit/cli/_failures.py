"""How commands fail: one clear sentence on stderr and an exit status, never a trace for a user's mistake."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import typer

from tacit.cli._console import explain
from tacit.errors import TacitError

__all__ = ["FAILED", "INTERRUPTED", "guarded"]

FAILED, INTERRUPTED = 1, 130

P = ParamSpec("P")
T = TypeVar("T")


def guarded(function: Callable[P, T]) -> Callable[P, T]:
    """`function` with its failures told as sentences: a TacitError exits with 1, an interruption with 130."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except TacitError as error:
            explain(error)
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            explain("interrupted; what is dealt, primed or registered is kept")
            raise typer.Exit(INTERRUPTED) from None

    return call
